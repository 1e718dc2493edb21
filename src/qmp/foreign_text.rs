//! Text that somebody else wrote, made fit for error texts and logs.

use std::fmt::Write;

/// Longer texts are cut.
const MAX_CHARS: usize = 1000;

/// The text without what forges lines or steers a terminal, and not too long.
///
/// Control characters, line separators and marks of direction come out as Rust and Python escape
/// them.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_CHARS));
    for (count, char) in text.chars().enumerate() {
        if count == MAX_CHARS {
            let _ = write!(shown, "... ({} bytes)", text.len());
            break;
        }
        match char {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            char if is_unprintable(char) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(char));
            }
            char => shown.push(char),
        }
    }
    shown
}

fn is_unprintable(char: char) -> bool {
    let steers = matches!(
        char,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    char.is_control() || steers
}

/// The same in quotation marks.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_be_forged_and_words_stay() {
        assert_eq!(
            printable("Device 'x' not found: ä"),
            "Device 'x' not found: ä"
        );
        assert_eq!(
            quoted("a\r\n\x1b[2J\u{2028}"),
            "\"a\\r\\n\\u{1b}[2J\\u{2028}\""
        );
        let long = printable(&"x".repeat(1 << 20));
        assert!(
            long.ends_with("... (1048576 bytes)") && long.len() < 1100,
            "{long}"
        );
    }
}
