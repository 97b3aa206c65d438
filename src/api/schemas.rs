//! Adapts schemas to code generators.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// The bytes of a file as the body of a request or an answer.
pub struct File;

impl PartialSchema for File {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .build()
            .into()
    }
}

impl ToSchema for File {}

/// Moves each variant of a tagged union to a named schema. Code generators name inline variants
/// `anonymous` or omit them.
pub fn name_variants(schemas: &mut Map<String, Value>) {
    let mut named = Map::new();
    let unions: Vec<String> = schemas.keys().cloned().collect();
    for union in unions {
        let Some(variants) = tagged_variants(schemas, &union) else {
            continue;
        };
        let mut references = Vec::new();
        for (word, variant) in variants {
            let name = format!("{union}{}", pascal_case(&word));
            references.push(json!({ "$ref": format!("#/components/schemas/{name}") }));
            named.insert(name, variant);
        }
        schemas[&union]["oneOf"] = Value::Array(references);
    }
    schemas.append(&mut named);
}

/// The variants of a union by their tags, if it is a union of tagged objects.
fn tagged_variants(schemas: &Map<String, Value>, union: &str) -> Option<Vec<(String, Value)>> {
    let variants = schemas.get(union)?.get("oneOf")?.as_array()?;
    let named = variants.iter().cloned().map(|mut variant| {
        let word = fix_tag(&mut variant)?;
        Some((word, variant))
    });
    named.collect()
}

/// Finds the property with a single possible value and writes it as a `const`. Returns the value.
fn fix_tag(variant: &mut Value) -> Option<String> {
    if let Some(Value::Array(parts)) = variant.get_mut("allOf") {
        return parts.iter_mut().find_map(fix_tag);
    }
    let properties = variant.get_mut("properties")?.as_object_mut()?;
    properties.values_mut().find_map(|property| {
        let words = property.get("enum")?.as_array()?;
        let [Value::String(word)] = words.as_slice() else {
            return None;
        };
        let word = word.clone();
        *property = json!({ "type": "string", "const": word });
        Some(word)
    })
}

/// `no_camera` as `NoCamera`.
pub fn pascal_case(word: &str) -> String {
    word.split('_')
        .flat_map(|part| {
            let mut characters = part.chars();
            let first = characters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(characters)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_become_named_schemas() {
        let mut schemas = json!({
            "Fit": { "type": "object", "properties": { "error": {} }, "required": ["error"] },
            "Way": { "oneOf": [
                { "type": "object", "properties": { "by": { "enum": ["nothing"] } } },
                { "allOf": [
                    { "$ref": "#/components/schemas/Fit" },
                    { "properties": { "by": { "enum": ["two_points"] } }, "required": ["by"] },
                ] },
            ] },
            "Word": { "oneOf": [{ "type": "string" }] },
        });
        let schemas = schemas.as_object_mut().expect("an object");
        name_variants(schemas);
        let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        assert_eq!(
            schemas["Way"]["oneOf"],
            json!([reference("WayNothing"), reference("WayTwoPoints")])
        );
        assert_eq!(
            schemas["WayTwoPoints"]["allOf"][1]["properties"]["by"],
            json!({ "type": "string", "const": "two_points" })
        );
        assert_eq!(schemas["Word"]["oneOf"], json!([{ "type": "string" }]));
    }
}
