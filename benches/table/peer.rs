//! `workload -> time`, by a Python service of `benches/peers`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::corpus::Workload;
use crate::run::{LONG, PARTITIONS, Run, measure};
use crate::support::process::Process;
use crate::support::{kafka, unique, wait_for};

/// Runs the peer of that name over all messages.
pub fn run(name: &str, workload: &Workload) -> Run {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (input, output) = (unique("documents"), unique("findings"));
    let large = [("max.message.bytes", "16777216")];
    for topic in [&input, &output] {
        kafka::create_topic_at(kafka::brokers(), topic, (PARTITIONS, 1), &large);
    }
    let positions = kafka::produce(&input, &workload.inputs);
    let group = unique("peer");
    let bundle = root.join("models").join(workload.pipeline);
    let mut command = Command::new(root.join(".runtime/peers/bin/python"));
    command.arg(root.join("benches/peers").join(format!("{name}.py")));
    command.args(["--brokers", kafka::brokers(), "--group", &group]);
    command.args(["--input", &input, "--output", &output]).arg("--bundle").arg(bundle);
    command.args(["--count", &workload.inputs.len().to_string()]);
    if workload.is_lines {
        command.arg("--lines");
    }
    let begun = Instant::now();
    let mut peer = Process::spawn(name, command);
    wait_for("a ready peer", LONG, || {
        assert!(peer.exited().is_none(), "{}", peer.tail());
        peer.stdout().contains("ready").then_some(())
    });
    let run = measure(&peer, begun, &group, &input, &positions);
    assert!(peer.wait(LONG).success(), "{}", peer.tail());
    run
}
