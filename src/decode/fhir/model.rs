//! FHIR JSON `-> the few elements that are read`, tolerant to all the rest.
//!
//! FHIR R4 (HL7, 2019) has some 150 resources with thousands of elements, and systems send what is
//! nearly R4. The crates that model it whole refuse a resource for any element that is off and take
//! minutes to compile; so here stand the elements that say where a document is and whom it is
//! about, and an element of another kind than R4 has counts as absent. One type stands for all
//! resources, since their elements of one name differ in kind only.
//!
//! Nesting is limited to 128 by the parser, and a key that stands twice is an error. Deliberately
//! keeps no value that holds nothing, see [`super::values`].

use super::values::{Blank, Many, Names, Texts, Words};

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

element! {
    /// Any resource.
    Resource {
        type_name: Words<'a> = "resourceType",
        id: Words<'a> = "id",
        status: Words<'a> = "status",
        doc_status: Words<'a> = "docStatus",
        master_identifier: Many<Identifier<'a>> = "masterIdentifier",
        identifier: Many<Identifier<'a>> = "identifier",
        subject: Many<Reference<'a>> = "subject",
        author: Many<Reference<'a>> = "author",
        authenticator: Many<Reference<'a>> = "authenticator",
        custodian: Many<Reference<'a>> = "custodian",
        patient: Many<Reference<'a>> = "patient",
        practitioner: Many<Reference<'a>> = "practitioner",
        organization: Many<Reference<'a>> = "organization",
        general_practitioner: Many<Reference<'a>> = "generalPractitioner",
        managing_organization: Many<Reference<'a>> = "managingOrganization",
        service_provider: Many<Reference<'a>> = "serviceProvider",
        link: Many<Link<'a>> = "link",
        participant: Many<Participant<'a>> = "participant",
        content: Many<Content<'a>> = "content",
        context: Many<Context<'a>> = "context",
        contained: Many<Resource<'a>> = "contained",
        entry: Many<Entry<'a>> = "entry",
        name: Names<'a> = "name",
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
        language: Words<'a> = "language",
        title: Words<'a> = "title",
        data: Words<'a> = "data",
        url: Words<'a> = "url",
    }
}

element! {
    /// Around what the document was written.
    Context {
        source_patient_info: Many<Reference<'a>> = "sourcePatientInfo",
        encounter: Many<Reference<'a>> = "encounter",
    }
}

element! {
    /// Another record of the same person; `link` of a `Bundle` holds nothing that is read.
    Link {
        other: Many<Reference<'a>> = "other",
        target: Many<Reference<'a>> = "target",
    }
}

element! {
    /// Somebody who took part in an `Encounter`.
    Participant {
        individual: Many<Reference<'a>> = "individual",
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
        name: Names<'a> = "name",
        telecom: Many<ContactPoint<'a>> = "telecom",
        address: Many<Address<'a>> = "address",
        organization: Many<Reference<'a>> = "organization",
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
        let name = read.name.people().next().unwrap();
        assert_eq!(name.family.get(), Some("Doe"));
        assert_eq!(name.given.iter().collect::<Vec<_>>(), ["Jane"]);
    }

    #[test]
    fn a_name_is_that_of_a_person_or_a_string() {
        let named = read(r#"{"name":"Orla Clinic"}"#).unwrap();
        assert_eq!((named.name.words(), named.name.people().count()), (Some("Orla Clinic"), 0));
        let named = read(r#"{"name":[{"family":"Doe"},"x",{"text":"Jane"}]}"#).unwrap();
        assert_eq!((named.name.words(), named.name.people().count()), (None, 2));
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
