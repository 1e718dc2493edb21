//! The codec: any split of a stream gives the same lines, in linear work, up to a limit.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use ganeti_hv_kvm::qmp::codec::{Codec, CodecError};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: usize = 200;

fn drain(codec: &mut Codec, lines: &mut Vec<String>) -> Result<(), CodecError> {
    while let Some(line) = codec.next_line()? {
        lines.push(line);
    }
    Ok(())
}

/// The lines of a stream that comes in pieces which end at the given places.
fn read(stream: &[u8], cuts: &[usize]) -> (Vec<String>, Result<(), CodecError>, u64) {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    let mut codec = Codec::new(LIMIT);
    let mut lines = Vec::new();
    let mut result = Ok(());
    for pair in places.windows(2) {
        codec.feed(&stream[pair[0]..pair[1]]);
        result = result.and(drain(&mut codec, &mut lines));
    }
    (lines, result, codec.work())
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        r#"\{"[a-zäö€𝄞]{0,20}": [0-9]{1,5}\}"#,
        r#"\{"return": "[a-z {}\[\]]{0,80}"\}"#,
        Just(String::new()),
        Just("  ".to_owned()),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(
        lines in vec((line(), prop_oneof![Just("\n"), Just("\r\n")]), 0..20),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let stream: String = lines.iter().flat_map(|(text, end)| [text.as_str(), end]).collect();
        let sent: Vec<&str> = lines.iter().map(|(text, _)| text.trim()).filter(|text| !text.is_empty()).collect();
        let (got, result, _) = read(stream.as_bytes(), &cuts);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same_lines_and_the_same_error(
        stream in vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 4 => b'a'..b'e'], 0..600),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let (whole, whole_result, _) = read(&stream, &[]);
        let (pieces, pieces_result, _) = read(&stream, &cuts);
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(whole_result, pieces_result);
    }

    #[test]
    fn what_is_longer_than_the_limit_is_refused_wherever_it_is_cut(
        before in vec("[a-z]{1,50}", 0..5),
        excess in 0_usize..3,
        cuts in vec(any::<usize>(), 0..20),
        ended in any::<bool>(),
    ) {
        let mut stream: String = before.iter().flat_map(|text| [text.as_str(), "\n"]).collect();
        stream.push_str(&"x".repeat(LIMIT + excess));
        if ended {
            stream.push('\n');
        }
        let (got, result, _) = read(stream.as_bytes(), &cuts);
        let fits = usize::from(excess == 0 && ended);
        prop_assert_eq!(got.len(), before.len() + fits);
        let expected = if excess == 0 { Ok(()) } else { Err(CodecError::TooLong(LIMIT)) };
        prop_assert_eq!(result, expected);
    }

    #[test]
    fn the_work_is_linear(
        lines in vec("[a-z]{1,150}", 1..200),
        piece in 1_usize..500,
    ) {
        let stream: String = lines.iter().flat_map(|text| [text.as_str(), "\n"]).collect();
        let cuts: Vec<usize> = (0..stream.len()).step_by(piece).collect();
        let (got, _, work) = read(stream.as_bytes(), &cuts);
        prop_assert_eq!(got.len(), lines.len());
        // Looked for its end, copied out, and moved once at most.
        prop_assert!(work <= 3 * stream.len() as u64, "{work} for {} bytes", stream.len());
    }
}

#[test]
fn a_large_message_in_small_pieces_is_looked_at_once() {
    let size = 4 << 20;
    let mut codec = Codec::new(64 << 20);
    let piece = vec![b'x'; 4096];
    for _ in 0..size / piece.len() {
        codec.feed(&piece);
        assert_eq!(codec.next_line(), Ok(None));
    }
    codec.feed(b"\n");
    assert_eq!(codec.next_line().unwrap().unwrap().len(), size);
    assert!(codec.work() <= 3 * size as u64, "{}", codec.work());
}
