//! Messages and schemas of the AsyncAPI document.

use pointstream_actors::{AnswerKind, ResultMetadata};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::api::schemas::{name_variants, pascal_case};
use crate::ws::outgoing::{ResultMessage, ServerMessage};

/// The messages and schemas of the document.
#[derive(Default)]
pub struct Parts {
    pub messages: Map<String, Value>,
    pub schemas: Map<String, Value>,
}

impl Parts {
    /// Adds a text message of this type.
    pub fn add_text(&mut self, kind: &str, schema: &Value) {
        let payload = self.add_schema(format!("{}Message", pascal_case(kind)), kind, schema);
        self.messages.insert(
            kind.to_owned(),
            json!({
                "name": kind,
                "title": kind,
                "summary": schema["description"],
                "contentType": "application/json",
                "payload": payload,
            }),
        );
    }

    /// Adds a binary message: the schema of its header lacks the field that follows as bytes.
    pub fn add_binary(&mut self, kind: &str, schema: &Value, payload_field: &str) {
        let mut schema = schema.clone();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.remove(payload_field);
        }
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|field| field != payload_field);
        }
        let headers = self.add_schema(format!("{}Header", pascal_case(kind)), kind, &schema);
        let name = binary_name(kind);
        self.messages.insert(
            name.clone(),
            json!({
                "name": name,
                "title": name,
                "summary": schema["description"],
                "description": "A binary frame: the bytes 50 53 42 01, the length of the header \
                                as u32 in little endian, the header as JSON in UTF-8, and the \
                                file.",
                "contentType": "application/octet-stream",
                "headers": headers,
                "payload": reference("components/schemas", "File"),
            }),
        );
    }

    /// Adds the schema of a message of this type; returns the reference to it.
    fn add_schema(&mut self, name: String, kind: &str, schema: &Value) -> Value {
        let mut schema = schema.clone();
        schema["type"] = json!("object");
        schema["title"] = json!(name);
        schema["properties"]["type"] = json!({ "type": "string", "const": kind });
        match schema.get_mut("required") {
            Some(Value::Array(required)) => {
                required.retain(|field| field != "type");
                required.insert(0, json!("type"));
            }
            _ => schema["required"] = json!(["type"]),
        }
        let found = reference("components/schemas", &name);
        self.schemas.insert(name, schema);
        found
    }

    /// Adds the types that the messages refer to.
    pub fn add_types(&mut self) {
        let mut found = vec![(
            ResultMetadata::name().into_owned(),
            ResultMetadata::schema(),
        )];
        ResultMessage::schemas(&mut found);
        ServerMessage::schemas(&mut found);
        for (name, schema) in found {
            // The type of a result is written in the schema of each message.
            if name != AnswerKind::name() {
                self.schemas.insert(name, to_value(&schema));
            }
        }
        name_variants(&mut self.schemas);
        self.schemas.insert(
            "File".to_owned(),
            json!({
                "title": "File",
                "type": "string",
                "format": "binary",
                "description": "The bytes of a file",
            }),
        );
    }
}

pub fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{place}/{name}") })
}

pub fn binary_name(kind: &str) -> String {
    format!("{kind}_binary")
}

pub fn to_value(schema: &impl Serialize) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

/// The variants of a tagged enumeration by their tag.
pub fn variants(schema: &impl Serialize) -> Vec<(String, Value)> {
    let variants = match to_value(schema)["oneOf"].take() {
        Value::Array(variants) => variants,
        _ => Vec::new(),
    };
    variants
        .into_iter()
        .filter_map(|variant| {
            let tag = variant["properties"]["type"]["enum"][0].as_str()?;
            Some((tag.to_owned(), variant))
        })
        .collect()
}
