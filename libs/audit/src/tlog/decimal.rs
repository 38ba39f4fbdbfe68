//! Numbers as the formats of C2SP write them: digits only, no sign, no leading zero. One number has one spelling, so a
//! signed text cannot be written in two ways.

/// Reads such a number; nothing for any other spelling and for what does not fit.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_spelling() {
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("20852163"), Some(20_852_163));
        assert_eq!(parse("18446744073709551615"), Some(u64::MAX));
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "18446744073709551616", "١"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
