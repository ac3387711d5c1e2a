//! `number of columns -> a float32 model in ONNX`, small enough to be written by hand.
//!
//! Its rows depend on all of their tokens and on their mask, and on no other row, as those of a
//! real encoder do: each token's row of a table, plus the bounded mean of the row's. Encoded as
//! Protocol Buffers by the numbers of `onnx.proto`.

/// Ids that the model knows.
pub const ID_COUNT: usize = 128;

const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// A field of a message: its number, and what it holds.
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

use Field::{Bytes, Number};

fn message<'a>(fields: impl IntoIterator<Item = Field<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        match field {
            Number(number, value) => {
                varint(&mut bytes, number << 3);
                varint(&mut bytes, value);
            }
            Bytes(number, value) => {
                varint(&mut bytes, number << 3 | 2);
                varint(&mut bytes, u64::try_from(value.len()).unwrap());
                bytes.extend(value);
            }
        }
    }
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
}

fn node(kind: &str, inputs: &[&str], output: &str, attribute: Option<&[u8]>) -> Vec<u8> {
    let inputs = inputs.iter().map(|input| Bytes(1, input.as_bytes()));
    let rest =
        [Bytes(2, output.as_bytes()), Bytes(3, output.as_bytes()), Bytes(4, kind.as_bytes())];
    message(inputs.chain(rest).chain(attribute.map(|attribute| Bytes(5, attribute))))
}

/// A weight: its shape, the number of its type, and its bytes.
fn weight(name: &str, shape: &[usize], kind: u64, raw: &[u8]) -> Vec<u8> {
    let shape = shape.iter().map(|size| Number(1, u64::try_from(*size).unwrap()));
    message(shape.chain([Number(2, kind), Bytes(8, name.as_bytes()), Bytes(9, raw)]))
}

/// An input or output of two or three dimensions, the last of them known or open.
fn port(name: &str, kind: u64, sizes: &[Option<usize>]) -> Vec<u8> {
    let sizes: Vec<_> = sizes
        .iter()
        .zip(["batch", "tokens", "columns"])
        .map(|(size, name)| match size {
            Some(size) => message([Number(1, u64::try_from(*size).unwrap())]),
            None => message([Bytes(2, name.as_bytes())]),
        })
        .collect();
    let shape = message(sizes.iter().map(|size| Bytes(1, size)));
    let tensor = message([Number(1, kind), Bytes(2, &shape)]);
    message([Bytes(1, name.as_bytes()), Bytes(2, &message([Bytes(1, &tensor)]))])
}

/// The model: `input_ids` and `attention_mask` in, `logits` of so many columns out.
pub fn tiny_model(columns: usize) -> Vec<u8> {
    let table: Vec<u8> = (0..ID_COUNT * columns)
        .map(|place| u16::try_from(place * 7_919 % 2_003).unwrap())
        .flat_map(|value| (f32::from(value) / 500.0 - 2.0).to_le_bytes())
        .collect();
    let axis = |axis: i64| axis.to_le_bytes();
    let to_float = message([Bytes(1, b"to"), Number(3, FLOAT), Number(20, 2)]);
    let nodes = [
        node("Gather", &["table", "input_ids"], "rows", None),
        node("Cast", &["attention_mask"], "mask", Some(&to_float)),
        node("Unsqueeze", &["mask", "last_axis"], "column", None),
        node("Mul", &["rows", "column"], "shown", None),
        node("ReduceSum", &["shown", "token_axis"], "sum", None),
        node("ReduceSum", &["column", "token_axis"], "count", None),
        node("Div", &["sum", "count"], "mean", None),
        node("Tanh", &["mean"], "bounded", None),
        node("Add", &["rows", "bounded"], "logits", None),
    ];
    let weights = [
        weight("table", &[ID_COUNT, columns], FLOAT, &table),
        weight("last_axis", &[1], INT64, &axis(2)),
        weight("token_axis", &[1], INT64, &axis(1)),
    ];
    let inputs = ["input_ids", "attention_mask"].map(|name| port(name, INT64, &[None, None]));
    let output = port("logits", FLOAT, &[None, None, Some(columns)]);
    let graph = nodes
        .iter()
        .map(|node| Bytes(1, node))
        .chain([Bytes(2, b"tiny")])
        .chain(weights.iter().map(|weight| Bytes(5, weight)))
        .chain(inputs.iter().map(|input| Bytes(11, input)))
        .chain([Bytes(12, &output)]);
    let (graph, opset) = (message(graph), message([Number(2, 17)]));
    message([Number(1, 8), Bytes(7, &graph), Bytes(8, &opset)])
}
