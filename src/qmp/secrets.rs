//! Keeps passwords out of error texts.

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
                if key == "command-line" {
                    found.extend(human_words(item));
                }
                collect(item, secret || SECRET_KEYS.contains(&key.as_str()), found);
            }
        }
        _ => {}
    }
}

/// The words of a human monitor's command about a password, but for the command and its protocol.
fn human_words(line: &Value) -> Vec<String> {
    match line.as_str() {
        Some(line) if line.contains("password") || line.contains("secret") => {
            line.split_whitespace().skip(2).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::find;

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
}
