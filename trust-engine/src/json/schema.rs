//! The types of bodies and answers as JSON Schema (draft 2020-12), for the generators of other languages' types.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::caller::CallerBody;
use super::options::OptionsBody;
use super::table::{CALLS, of};

/// The types of every call, of the options and of callers:
/// `{$schema, calls: {name: {body, answer}}, options, caller, $defs}`.
pub fn schemas() -> Value {
    let mut read = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut written = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let calls: Map<String, Value> = CALLS
        .iter()
        .map(|call| {
            let body = call.body.map(|body| body(&mut read));
            (call.name.to_owned(), json!({ "body": body, "answer": (call.answer)(&mut written) }))
        })
        .collect();
    let (options, caller) = (of::<OptionsBody>(&mut read), of::<CallerBody>(&mut read));
    let mut definitions = read.take_definitions(true);
    definitions.extend(written.take_definitions(true));
    let draft = "https://json-schema.org/draft/2020-12/schema";
    json!({ "$schema": draft, "calls": calls, "options": options, "caller": caller, "$defs": definitions })
}
