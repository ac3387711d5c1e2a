//! JSON values `-> strings, lists and names`, each absent where another kind of value stands.
//!
//! Deliberately keeps no value that holds nothing: `{}` in a list leaves no trace, so that a
//! body costs a small multiple of its size.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::model::HumanName;

/// Whether a value says nothing.
pub(super) trait Blank {
    fn is_blank(&self) -> bool;
}

/// A string without white space around it; absent where another kind of value stands.
#[derive(Default)]
pub(super) struct Words<'a>(Option<Cow<'a, str>>);

impl Words<'_> {
    /// The string, where it holds anything.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|words| !words.is_empty())
    }
}

impl Blank for Words<'_> {
    fn is_blank(&self) -> bool {
        self.0.is_none()
    }
}

/// Strings of a list.
#[derive(Default)]
pub(super) struct Texts<'a>(Vec<Words<'a>>);

impl Texts<'_> {
    /// Those that hold anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Words::get)
    }
}

impl Blank for Texts<'_> {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

/// Objects of a list, or the one that stands there without a list. Most lists of most resources
/// are absent, and take one pointer each.
pub(super) struct Many<T>(Option<Box<List<T>>>);

/// At least one object.
struct List<T>(Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<Vec<T>> for Many<T> {
    fn from(objects: Vec<T>) -> Self {
        Self((!objects.is_empty()).then(|| Box::new(List(objects))))
    }
}

impl<T> Blank for Many<T> {
    fn is_blank(&self) -> bool {
        self.0.is_none()
    }
}

impl<'m, T> IntoIterator for &'m Many<T> {
    type Item = &'m T;
    type IntoIter = std::slice::Iter<'m, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Many<T> {
    /// The objects in order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.as_ref().map_or(&[][..], |list| list.0.as_slice()).iter()
    }
}

/// An object; absent where another kind of value stands, or nothing in it is read.
struct Object<T>(Option<T>);

/// Visits a value of one kind; all others are read past.
macro_rules! absent {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        fn visit_bool<E>(self, _value: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_i64<E>(self, _value: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E>(self, _value: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _value: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (str) => {
        fn visit_str<E>(self, _value: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
    (map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Of<'a> {
            type Value = Words<'a>;
            absent!();
            absent!(seq);
            absent!(map);

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Words(Some(Cow::Borrowed(value.trim()))))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Words(Some(Cow::Owned(value.trim().to_owned()))))
            }
        }
        deserializer.deserialize_any(Of(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Of<'a> {
            type Value = Texts<'a>;
            absent!();
            absent!(map);

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Texts(vec![Words(Some(Cow::Owned(value.trim().to_owned())))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(words) = seq.next_element::<Words<'a>>()? {
                    texts.extend(Some(words).filter(|words| words.get().is_some()));
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(Of(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Names<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Of<'a> {
            type Value = Names<'a>;
            absent!();

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                let words = Words(Some(Cow::Owned(value.trim().to_owned())));
                Ok(Names { words, people: Many::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let people = Many::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Names { people, words: Words::default() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let people = Many::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(Names { people, words: Words::default() })
            }
        }
        deserializer.deserialize_any(Of(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Blank> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Blank> Visitor<'de> for Of<T> {
            type Value = Object<T>;
            absent!();
            absent!(str);
            absent!(seq);

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let object = T::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Object(Some(object).filter(|object| !object.is_blank())))
            }
        }
        deserializer.deserialize_any(Of(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Blank> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Blank> Visitor<'de> for Of<T> {
            type Value = Many<T>;
            absent!();
            absent!(str);

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let object = T::deserialize(MapAccessDeserializer::new(map))?;
                let object = Some(object).filter(|object| !object.is_blank());
                Ok(object.into_iter().collect::<Vec<_>>().into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut objects = Vec::new();
                while let Some(Object(object)) = seq.next_element::<Object<T>>()? {
                    objects.extend(object);
                }
                Ok(objects.into())
            }
        }
        deserializer.deserialize_any(Of(PhantomData))
    }
}

/// Names of a person, or the one string that names an organization or a place.
#[derive(Default)]
pub(super) struct Names<'a> {
    people: Many<HumanName<'a>>,
    words: Words<'a>,
}

impl<'a> Names<'a> {
    /// Names of a person.
    pub(super) fn people(&self) -> std::slice::Iter<'_, HumanName<'a>> {
        self.people.iter()
    }

    /// The one string.
    pub(super) fn words(&self) -> Option<&str> {
        self.words.get()
    }
}

impl Blank for Names<'_> {
    fn is_blank(&self) -> bool {
        self.people.is_blank() && self.words.is_blank()
    }
}
