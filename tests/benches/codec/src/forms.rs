//! The stored forms that are compared, and the seal that each of them is under.
//!
//! VedDB's own form goes through the code that its commands run: the filters and updates that a client writes. The other
//! two are written by hand for just these questions, so they are as fast as such a form can be in practice.

use anyhow::{Context, Result};
use bson::{Document, RawDocument};
use regex::Regex;
use serde_json::Value;
use veddb_commands::context::Limits;
use veddb_commands::query::update::{Terms, Update};
use veddb_storage::document::codec::RawObject;
use veddb_storage::document::expression::Work;
use veddb_storage::document::filter::Filter;
use veddb_storage::document::filter::FilterLimits;
use veddb_storage::document::json::{IdSource, ParseLimits, parse_document, render_object};
use veddb_storage::seal::{Keyring, MasterKey, Purpose, Sealer};

use crate::documents::{CITY, NAME};

const CONTEXT: &[u8] = b"twelve bytes";

/// The cipher under one key, as documents are sealed.
pub(crate) struct Seal(Sealer);

impl Seal {
    pub(crate) fn new() -> Result<Seal> {
        let dir = tempfile::tempdir()?;
        Ok(Seal(Sealer::new(&Keyring::create(dir.path(), &MasterKey::generate(), 1)?)))
    }

    pub(crate) fn seal(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() + veddb_storage::seal::OVERHEAD);
        self.0.seal(Purpose::Documents, CONTEXT, body, &mut out);
        out
    }

    pub(crate) fn open(&self, sealed: &[u8]) -> Vec<u8> {
        self.0.open(Purpose::Documents, CONTEXT, sealed).expect("it was sealed here")
    }
}

/// One stored form; every document here is well formed, so nothing fails.
pub(crate) trait Form {
    fn name(&self) -> &'static str;
    /// JSON text, checked, to the stored form.
    fn encode(&self, text: &[u8]) -> Vec<u8>;
    /// The stored form to JSON text.
    fn render(&self, body: &[u8]) -> Vec<u8>;
    /// `{"address.city": CITY}`
    fn equals(&self, body: &[u8]) -> bool;
    /// `{"name": {"$regex": NAME}}`
    fn matches(&self, body: &[u8]) -> bool;
    /// `{"$inc": {"visits": 1}}`
    fn increment(&self, body: &[u8]) -> Vec<u8>;
}

/// `veddb_storage::document`.
pub(crate) struct Packed {
    equals: Filter,
    matches: Filter,
    update: Update,
    limits: Limits,
}

impl Packed {
    pub(crate) fn new() -> Result<Packed> {
        let limits = Limits::default();
        let filter = |text: String| {
            Filter::parse(text.as_bytes(), &FilterLimits::default()).map_err(|error| anyhow::anyhow!(error.0))
        };
        Ok(Packed {
            equals: filter(format!(r#"{{"address.city":"{CITY}"}}"#))?,
            matches: filter(format!(r#"{{"name":{{"$regex":"{NAME}"}}}}"#))?,
            update: Update::parse(br#"{"$inc":{"visits":1}}"#, None, &Terms { limits: &limits, now_ms: 0 })
                .ok()
                .context("the update is good")?,
            limits,
        })
    }
}

impl Form for Packed {
    fn name(&self) -> &'static str {
        "packed"
    }

    fn encode(&self, text: &[u8]) -> Vec<u8> {
        let ids = IdSource::Generate(&String::new);
        parse_document(text, ParseLimits::default(), ids).expect("the text is good").body.into_vec()
    }

    fn render(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() + body.len() / 4 + 64);
        render_object(&mut out, RawObject::from_body(body));
        out
    }

    fn equals(&self, body: &[u8]) -> bool {
        self.equals.matches(RawObject::from_body(body))
    }

    fn matches(&self, body: &[u8]) -> bool {
        self.matches.matches(RawObject::from_body(body))
    }

    fn increment(&self, body: &[u8]) -> Vec<u8> {
        let changed = self.update.apply(RawObject::from_body(body), &self.equals, &self.limits, &Work::default());
        changed.ok().flatten().expect("one more is another number").into_vec()
    }
}

/// The text itself, read with `serde_json::Value`.
pub(crate) struct JsonText(Regex);

impl JsonText {
    pub(crate) fn new() -> Result<JsonText> {
        Ok(JsonText(Regex::new(NAME)?))
    }
}

fn value(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("the text is good")
}

impl Form for JsonText {
    fn name(&self) -> &'static str {
        "JSON text"
    }

    fn encode(&self, text: &[u8]) -> Vec<u8> {
        let value = value(text);
        assert!(value.get("_id").is_some_and(Value::is_string));
        serde_json::to_vec(&value).expect("a value is JSON")
    }

    fn render(&self, body: &[u8]) -> Vec<u8> {
        body.to_vec()
    }

    fn equals(&self, body: &[u8]) -> bool {
        value(body).get("address").and_then(|address| address.get("city")).is_some_and(|city| city == CITY)
    }

    fn matches(&self, body: &[u8]) -> bool {
        value(body).get("name").and_then(Value::as_str).is_some_and(|name| self.0.is_match(name))
    }

    fn increment(&self, body: &[u8]) -> Vec<u8> {
        let mut value = value(body);
        let visits = value.get("visits").and_then(Value::as_i64).expect("a number");
        value["visits"] = Value::from(visits + 1);
        serde_json::to_vec(&value).expect("a value is JSON")
    }
}

/// The crate `bson`.
pub(crate) struct Bson(Regex);

impl Bson {
    pub(crate) fn new() -> Result<Bson> {
        Ok(Bson(Regex::new(NAME)?))
    }
}

fn raw(body: &[u8]) -> &RawDocument {
    RawDocument::from_bytes(body).expect("a whole document")
}

impl Form for Bson {
    fn name(&self) -> &'static str {
        "BSON"
    }

    fn encode(&self, text: &[u8]) -> Vec<u8> {
        let Ok(bson::Bson::Document(document)) = bson::Bson::try_from(value(text)) else {
            unreachable!("the text is an object")
        };
        assert!(document.get_str("_id").is_ok());
        document.to_vec().expect("it fits")
    }

    fn render(&self, body: &[u8]) -> Vec<u8> {
        let document = Document::try_from(raw(body)).expect("a whole document");
        serde_json::to_vec(&bson::Bson::Document(document).into_relaxed_extjson()).expect("a value is JSON")
    }

    fn equals(&self, body: &[u8]) -> bool {
        raw(body).get_document("address").and_then(|address| address.get_str("city")).is_ok_and(|city| city == CITY)
    }

    fn matches(&self, body: &[u8]) -> bool {
        raw(body).get_str("name").is_ok_and(|name| self.0.is_match(name))
    }

    fn increment(&self, body: &[u8]) -> Vec<u8> {
        let mut document = Document::try_from(raw(body)).expect("a whole document");
        match document.get_mut("visits") {
            Some(bson::Bson::Int32(visits)) => *visits += 1,
            other => unreachable!("visits is a small number, not {other:?}"),
        }
        document.to_vec().expect("it fits")
    }
}
