//! The ways in and out of a document: text in, checked; canonical text, hash and schema out.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::check::check;
use super::decode::decode;
use super::document::PolicyDocument;
use super::error::PolicyErrors;
use super::mistakes::Mistakes;
use super::source;

impl PolicyDocument {
    /// Reads and checks a YAML or JSON document, and reports every mistake at once.
    ///
    /// A text that begins with `{` is JSON, every other text is YAML 1.2. Errors of syntax and refused features of
    /// YAML (anchors, tags, merge keys, several documents, duplicate fields) are reported alone, because nothing else
    /// can be said about such a text.
    ///
    /// ```
    /// use trust_engine::PolicyDocument;
    ///
    /// let document = PolicyDocument::parse(
    ///     "
    /// policyFormat: 1
    /// name: tiny
    /// tiers: [{name: LOW}, {name: HIGH}]
    /// roles: [{name: READER, minimumTier: HIGH}]
    /// defaultEffect: ALLOW
    /// ",
    /// )?;
    /// assert_eq!(document.tiers.len(), 2);
    ///
    /// let errors = PolicyDocument::parse(
    ///     "
    /// policyFormat: 1
    /// name: tiny
    /// tiers: [{name: LOW}, {name: HIGH}]
    /// roles: [{name: READER, minimumTier: HIHG}]
    /// defaultEffect: PERHAPS
    /// ",
    /// )
    /// .unwrap_err();
    /// assert_eq!(
    ///     errors.to_string(),
    ///     r#"2 mistakes in the policy:
    /// 5:37 roles[0].minimumTier: unknown tier "HIHG"; did you mean "HIGH"?
    /// 6:16 defaultEffect: expected ALLOW, DENY or ESCALATE, found "PERHAPS""#
    /// );
    /// # Ok::<(), trust_engine::PolicyErrors>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, PolicyErrors> {
        let root = source::read(text)?;
        let mut mistakes = Mistakes::new();
        let document = decode(&root, &mut mistakes);
        check(&document, &mut mistakes);
        mistakes.into_errors(Some(&root)).map(|()| document)
    }

    /// Checks a document that was built in Rust or read with serde; its mistakes have paths but no locations.
    ///
    /// ```
    /// use trust_engine::PolicyDocument;
    ///
    /// let mut document = PolicyDocument::published_default()?;
    /// document.check()?;
    /// document.roles[0].minimum_tier = "GOLD".into();
    /// let errors = document.check().unwrap_err();
    /// assert_eq!(errors.iter().next().unwrap().path, "roles[0].minimumTier");
    /// # Ok::<(), trust_engine::PolicyErrors>(())
    /// ```
    pub fn check(&self) -> Result<(), PolicyErrors> {
        let mut mistakes = Mistakes::new();
        check(self, &mut mistakes);
        mistakes.into_errors(None)
    }

    /// The document as canonical JSON (RFC 8785) with every default written out: the same content has the same text.
    ///
    /// That holds for documents that pass [`check`](Self::check), whose numbers are all below 2^53. The result is
    /// itself a text that [`parse`](Self::parse) reads.
    ///
    /// ```
    /// use trust_engine::PolicyDocument;
    ///
    /// let document = PolicyDocument::published_default()?;
    /// assert!(document.canonical_json().starts_with(r#"{"agents":{"excessClaim":"HELD_TIER","#));
    /// assert_eq!(PolicyDocument::parse(&document.canonical_json())?, document);
    /// # Ok::<(), trust_engine::PolicyErrors>(())
    /// ```
    pub fn canonical_json(&self) -> String {
        // Serializing fails only for keys that are no text, keys that are there twice and numbers that are not
        // finite; a document can hold none of them. Stopping would still be better than hashing something else.
        serde_json_canonicalizer::to_string(self)
            .unwrap_or_else(|error| unreachable!("a document has only plain fields: {error}"))
    }

    /// The SHA-256 of [`canonical_json`](Self::canonical_json), by which records name a policy.
    ///
    /// ```
    /// use trust_engine::PolicyDocument;
    ///
    /// let yaml = PolicyDocument::published_default()?;
    /// let json = PolicyDocument::parse(&yaml.canonical_json())?;
    /// assert_eq!(yaml.hash(), json.hash());
    /// # Ok::<(), trust_engine::PolicyErrors>(())
    /// ```
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.canonical_json()).into()
    }

    /// The JSON Schema (2020-12) of the policy language, for editors.
    ///
    /// The schema knows names, types and bounds. Only [`check`](Self::check) can tell whether a name refers to
    /// something that exists.
    ///
    /// ```
    /// let schema = trust_engine::PolicyDocument::json_schema();
    /// assert_eq!(schema["properties"]["tiers"]["maxItems"], 64);
    /// ```
    pub fn json_schema() -> Value {
        let mut schema = schemars::schema_for!(PolicyDocument).to_value();
        tidy(&mut schema);
        schema
    }
}

/// Takes out `null`, which serde would accept and the policy language does not, and formats that are serde's own.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            if fields.get("format").is_some_and(|format| format.is_string()) {
                fields.remove("format");
            }
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(tidy);
        }
        _ => {}
    }
}
