//! FHIR JSON `-> the few elements that are read`, tolerant to all the rest.
//!
//! FHIR R4 (HL7, 2019) has some 150 resources with thousands of elements, and systems send what is
//! nearly R4. The crates that model it whole refuse a resource for any element that is off and take
//! minutes to compile; so here stand the elements that say where a document is and whom it is
//! about, and an element of another kind than R4 has counts as absent. One type stands for all
//! resources, since their elements of one name differ in kind only.
//!
//! Deliberately keeps no value that holds nothing: `{}` in a list leaves no trace, so that a
//! body costs a small multiple of its size. Nesting is limited to 128 by the parser, and a key that
//! stands twice is an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Declares an element whose parts may all be absent.
macro_rules! element {
    ($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $kind:ty = $key:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        pub(super) struct $name<'a> {
            $(#[serde(borrow, rename = $key)] pub(super) $field: $kind,)+
        }

        impl Blank for $name<'_> {
            fn is_blank(&self) -> bool {
                $(self.$field.is_blank())&&+
            }
        }
    };
}

/// Whether a value says nothing.
pub(super) trait Blank {
    fn is_blank(&self) -> bool;
}

element! {
    /// Any resource.
    Resource {
        type_name: Words<'a> = "resourceType",
        id: Words<'a> = "id",
        master_identifier: Many<Identifier<'a>> = "masterIdentifier",
        identifier: Many<Identifier<'a>> = "identifier",
        subject: Many<Reference<'a>> = "subject",
        author: Many<Reference<'a>> = "author",
        authenticator: Many<Reference<'a>> = "authenticator",
        content: Many<Content<'a>> = "content",
        context: Many<Context<'a>> = "context",
        contained: Many<Resource<'a>> = "contained",
        entry: Many<Entry<'a>> = "entry",
        name: Many<HumanName<'a>> = "name",
        birth_date: Words<'a> = "birthDate",
        telecom: Many<ContactPoint<'a>> = "telecom",
        address: Many<Address<'a>> = "address",
        contact: Many<Contact<'a>> = "contact",
        content_type: Words<'a> = "contentType",
        data: Words<'a> = "data",
    }
}

element! {
    /// One resource of a `Bundle`.
    Entry {
        full_url: Words<'a> = "fullUrl",
        resource: Many<Resource<'a>> = "resource",
    }
}

element! {
    /// A business identifier.
    Identifier {
        value: Words<'a> = "value",
        kind: Many<Concept<'a>> = "type",
    }
}

element! {
    /// A concept with its codes.
    Concept {
        coding: Many<Coding<'a>> = "coding",
    }
}

element! {
    /// One code.
    Coding {
        code: Words<'a> = "code",
    }
}

element! {
    /// A link to another resource.
    Reference {
        link: Words<'a> = "reference",
        display: Words<'a> = "display",
        identifier: Many<Identifier<'a>> = "identifier",
    }
}

element! {
    /// One content of a `DocumentReference`.
    Content {
        attachment: Many<Attachment<'a>> = "attachment",
    }
}

element! {
    /// The document itself, or where it is.
    Attachment {
        content_type: Words<'a> = "contentType",
        data: Words<'a> = "data",
        url: Words<'a> = "url",
    }
}

element! {
    /// Around what the document was written.
    Context {
        source_patient_info: Many<Reference<'a>> = "sourcePatientInfo",
    }
}

element! {
    /// A person's name.
    HumanName {
        text: Words<'a> = "text",
        family: Words<'a> = "family",
        given: Texts<'a> = "given",
    }
}

element! {
    /// A phone number, e-mail address or the like.
    ContactPoint {
        system: Words<'a> = "system",
        value: Words<'a> = "value",
    }
}

element! {
    /// A postal address.
    Address {
        text: Words<'a> = "text",
        line: Texts<'a> = "line",
        city: Words<'a> = "city",
        district: Words<'a> = "district",
        postal_code: Words<'a> = "postalCode",
    }
}

element! {
    /// A person to turn to for a patient.
    Contact {
        name: Many<HumanName<'a>> = "name",
        telecom: Many<ContactPoint<'a>> = "telecom",
        address: Many<Address<'a>> = "address",
    }
}

/// A string; absent where another kind of value stands.
#[derive(Default)]
pub(super) struct Words<'a>(pub(super) Option<Cow<'a, str>>);

impl Words<'_> {
    /// The string without white space around it, where it holds anything.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref().map(str::trim).filter(|words| !words.is_empty())
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

/// Objects of a list, or the one that stands there without a list.
pub(super) struct Many<T>(Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Blank for Many<T> {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'m, T> IntoIterator for &'m Many<T> {
    type Item = &'m T;
    type IntoIter = std::slice::Iter<'m, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> Many<T> {
    /// The objects in order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
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
                Ok(Words(Some(Cow::Borrowed(value))))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Words(Some(Cow::Owned(value.to_owned()))))
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
                Ok(Texts(vec![Words(Some(Cow::Owned(value.to_owned())))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(words) = seq.next_element::<Words<'a>>()? {
                    texts.extend(Some(words).filter(|words| !words.is_blank()));
                }
                Ok(Texts(texts))
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
                Ok(Many(Some(object).filter(|object| !object.is_blank()).into_iter().collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut objects = Vec::new();
                while let Some(Object(object)) = seq.next_element::<Object<T>>()? {
                    objects.extend(object);
                }
                Ok(Many(objects))
            }
        }
        deserializer.deserialize_any(Of(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::Resource;

    fn read(json: &str) -> Option<Resource<'_>> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn an_element_of_another_kind_counts_as_absent() {
        for json in [
            r#"{"resourceType":1,"id":null,"name":"x","content":3,"telecom":[1,"a",null,[{}]]}"#,
            r#"{"resourceType":["x"],"id":{"a":[1]},"name":[{"given":[1,{"x":2}],"family":{}}]}"#,
            r#"{"unknown":{"deep":[[[1]]]},"birthDate":true,"subject":false,"identifier":2.5}"#,
        ] {
            let read = read(json).unwrap();
            assert!(read.type_name.get().is_none() && read.id.get().is_none(), "{json}");
            assert_eq!(read.telecom.iter().count() + read.content.iter().count(), 0, "{json}");
        }
    }

    #[test]
    fn one_object_stands_for_a_list_of_one() {
        let read = read(r#"{"name":{"family":"Doe","given":"Jane"}}"#).unwrap();
        let name = read.name.iter().next().unwrap();
        assert_eq!(name.family.get(), Some("Doe"));
        assert_eq!(name.given.iter().collect::<Vec<_>>(), ["Jane"]);
    }

    #[test]
    fn what_says_nothing_leaves_no_trace() {
        let read = read(r#"{"contained":[{},{"x":1},{"id":"a"}],"entry":[{},{}]}"#).unwrap();
        assert_eq!((read.contained.iter().count(), read.entry.iter().count()), (1, 0));
    }

    #[test]
    fn nesting_and_doubled_keys_are_errors() {
        let deep = format!("{}1{}", r#"{"contained":["#.repeat(200), "]}".repeat(200));
        assert!(read(&deep).is_none());
        assert!(read(&format!(r#"{{"x":{}"#, "[".repeat(100_000))).is_none());
        assert!(read(r#"{"id":"a","id":"b"}"#).is_none());
    }
}
