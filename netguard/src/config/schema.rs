//! The JSON schema of the configuration, for editors and for tools that write one.

use super::Config;

/// A JSON Schema (draft 2020-12) of the configuration file.
#[must_use]
pub fn schema_json() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_key_and_its_default() {
        let schema = schema_json();
        let default = serde_json::to_value(Config::default()).unwrap();
        for (key, value) in default.as_object().unwrap() {
            let property = &schema["properties"][key];
            assert_eq!(&property["default"], value, "{key}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn carries_ranges_and_explanations() {
        let schema = schema_json();
        let limit = &schema["$defs"]["Limit"];
        assert_eq!(limit["required"], serde_json::json!(["rate_per_s", "burst"]));
        assert_eq!(limit["properties"]["burst"]["maximum"], 10_000_000);
        assert_eq!(schema["$defs"]["Prefix"]["type"], "string");
        assert!(schema["properties"]["attach"]["description"].is_string());
    }
}
