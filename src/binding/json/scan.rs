//! Strings in JSON text, eight bytes at a time.

/// Spreads what it is multiplied with over the higher bits.
pub(super) const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A text of at most 31 bytes and the quotation mark behind it, padded with zeros: four words to
/// compare instead of a string.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Name([u64; 4]);

impl Name {
    /// A number for tables.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        let [a, b, c, d] = self.0;
        (a ^ b.rotate_left(29) ^ c.rotate_left(43) ^ d.rotate_left(11)).wrapping_mul(MIX)
    }

    /// High bits for the bytes that the text and its quotation mark have.
    pub(super) fn mask(&self) -> [u64; 4] {
        self.0.map(|word| {
            u64::from_le_bytes(
                word.to_le_bytes()
                    .map(|byte| if byte == 0 { 0 } else { u8::MAX }),
            )
        })
    }

    /// Whether these bytes begin with the text and its quotation mark.
    #[inline]
    pub(super) fn begins(&self, mask: &[u64; 4], bytes: &[u8; 32]) -> bool {
        let (words, _) = bytes.as_chunks::<8>();
        let other = |((known, mask), word): ((&u64, &u64), &[u8; 8])| {
            (known ^ u64::from_le_bytes(*word)) & mask
        };
        let all = self.0.iter().zip(mask).zip(words).map(other);
        all.fold(0, |all, part| all | part) == 0
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// A high bit for each byte that is a quotation mark, a backslash or a control character; above
/// the lowest one there may be more than that.
#[inline]
fn special(word: u64) -> u64 {
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH_BITS
}

/// The string that these bytes begin with and the number of its bytes, its quotation mark among
/// them: if it has at most 31 others, and none of them is special.
#[inline]
pub(super) fn short(bytes: &[u8]) -> Option<(Name, usize)> {
    let mut words = [0; 4];
    let mut length = 0;
    for place in &mut words {
        let word = u64::from_le_bytes(*bytes.get(length..)?.first_chunk()?);
        let stop = special(word);
        if stop != 0 {
            let bits = stop.trailing_zeros() | 7;
            *place = word & (u64::MAX >> (63 - bits));
            length += (bits / 8) as usize;
            return (bytes.get(length) == Some(&b'"')).then_some((Name(words), length + 1));
        }
        *place = word;
        length += 8;
    }
    None
}

/// A text of at most fifteen bytes and its quotation mark, padded with zeros: two words, which fit
/// into registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Brief {
    low: u64,
    high: u64,
}

impl Brief {
    /// A number for tables.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        (self.low ^ self.high.rotate_left(29)).wrapping_mul(MIX)
    }
}

/// The string that these bytes begin with and the number of its bytes, its quotation mark among
/// them: if it has at most fifteen others, and none of them is special.
#[inline]
pub(super) fn brief(bytes: &[u8]) -> Option<(Brief, usize)> {
    let (low, rest) = bytes.split_first_chunk::<8>()?;
    let low = u64::from_le_bytes(*low);
    let stop = special(low);
    let (brief, length) = if stop == 0 {
        let high = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        let stop = special(high);
        if stop == 0 {
            return None;
        }
        let bits = stop.trailing_zeros() | 7;
        let high = high & (u64::MAX >> (63 - bits));
        (Brief { low, high }, 8 + (bits / 8) as usize)
    } else {
        let bits = stop.trailing_zeros() | 7;
        let low = low & (u64::MAX >> (63 - bits));
        (Brief { low, high: 0 }, (bits / 8) as usize)
    };
    (bytes.get(length) == Some(&b'"')).then_some((brief, length + 1))
}

/// How many bytes there are before the next special one.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(chunk) = bytes.get(count..).and_then(<[u8]>::first_chunk::<8>) {
        let stop = special(u64::from_le_bytes(*chunk));
        if stop != 0 {
            return count + (stop.trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | ..0x20);
    let rest = bytes.get(count..).unwrap_or_default();
    count + rest.iter().take_while(is_plain).count()
}
