//! Keeps passwords out of error texts and logs.

use serde_json::Value;

/// Arguments that hold a secret, whatever the command: `set_password`, `change-vnc-password`,
/// `object-add` of a secret (`data`), `expire_password` and `qom-set` (`value`).
const SECRET_KEYS: [&str; 5] = ["password", "passwd", "data", "value", "passphrase"];
const HIDDEN: &str = "***";

/// The secrets that a command's arguments (JSON text), or a whole command, hold.
#[must_use]
pub(super) fn find(json: Option<&str>) -> Vec<String> {
    let mut secrets = Vec::new();
    if let Some(value) = json.and_then(|json| serde_json::from_str(json).ok()) {
        collect(&value, false, &mut secrets);
    }
    secrets.retain(|secret| !secret.is_empty());
    // The longest first: one may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// Arguments (JSON text) as a log may show them: strings that are secrets are `***`, at any depth.
#[must_use]
pub fn masked(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(value) => mask(value, false).to_string(),
        // Whatever it is, it is not known to be free of secrets.
        Err(_) => HIDDEN.to_owned(),
    }
}

fn mask(value: Value, secret: bool) -> Value {
    match value {
        Value::String(_) if secret => HIDDEN.into(),
        Value::Array(items) => items.into_iter().map(|item| mask(item, secret)).collect(),
        Value::Object(fields) => {
            let masked = fields.into_iter().map(|(key, item)| {
                let item = match item {
                    Value::String(line) if key == "command-line" => {
                        scrub(&line, &human_words(&line)).into()
                    }
                    item => mask(item, secret || SECRET_KEYS.contains(&key.as_str())),
                };
                (key, item)
            });
            Value::Object(masked.collect())
        }
        value => value,
    }
}

/// `text` without any of the secrets.
#[must_use]
pub(super) fn scrub(text: &str, secrets: &[String]) -> String {
    secrets
        .iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
}

fn collect(value: &Value, secret: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if secret => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, secret, found)),
        Value::Object(fields) => {
            for (key, item) in fields {
                if let ("command-line", Some(line)) = (key.as_str(), item.as_str()) {
                    found.extend(human_words(line));
                }
                collect(item, secret || SECRET_KEYS.contains(&key.as_str()), found);
            }
        }
        _ => {}
    }
}

/// The words of a human monitor's command about a password, but for the command and its protocol.
fn human_words(line: &str) -> Vec<String> {
    if line.contains("password") || line.contains("secret") {
        let words = line.split_whitespace().skip(2);
        return words.map(str::to_owned).collect();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::{find, masked};

    fn scrub(text: &str, json: Option<&str>) -> String {
        super::scrub(text, &find(json))
    }

    #[test]
    fn secrets_are_hidden_and_names_stay() {
        let arguments = r#"{"protocol": "vnc", "password": "hunter2"}"#;
        assert_eq!(
            scrub("vnc does not like hunter2", Some(arguments)),
            "vnc does not like ***"
        );
        let arguments =
            r#"{"qom-type": "secret", "id": "sec0", "data": "s3cret", "x": {"value": ["a1", 77]}}"#;
        assert_eq!(
            scrub("sec0: s3cret a1 77", Some(arguments)),
            "sec0: *** *** 77"
        );
        let arguments = r#"{"command-line": "set_password spice geheim"}"#;
        assert_eq!(scrub("spice geheim", Some(arguments)), "spice ***");
        let arguments = r#"{"password": ""}"#;
        assert_eq!(scrub("as it is", Some(arguments)), "as it is");
        assert_eq!(scrub("as it is", None), "as it is");
        let arguments = r#"{"password": "ab", "data": "abc"}"#;
        assert_eq!(scrub("abc", Some(arguments)), "***");
    }

    #[test]
    fn a_log_shows_all_but_the_secrets_at_any_depth() {
        for (arguments, shown) in [
            (
                r#"{"protocol":"vnc","password":"hunter2"}"#,
                r#"{"password":"***","protocol":"vnc"}"#,
            ),
            (
                r#"{"props":{"data":["s3cret"],"id":"sec0"},"qom-type":"secret"}"#,
                r#"{"props":{"data":["***"],"id":"sec0"},"qom-type":"secret"}"#,
            ),
            (r#"{"value":268435456}"#, r#"{"value":268435456}"#),
            (
                r#"{"command-line":"change vnc password hunter2"}"#,
                r#"{"command-line":"change vnc *** ***"}"#,
            ),
            (
                r#"{"command-line":"drive_del hotdisk-1"}"#,
                r#"{"command-line":"drive_del hotdisk-1"}"#,
            ),
            ("hunter2", "***"),
        ] {
            assert_eq!(masked(arguments), shown);
        }
    }
}
