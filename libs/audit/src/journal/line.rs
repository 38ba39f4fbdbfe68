//! One line: `CRC KIND REST` and a newline. CRC is CRC-32C, in eight lower-case hexadecimal digits, of what stands behind
//! it and its space, up to the newline. It finds what a disk or a crash did; who changes a line on purpose is found by
//! the trees.

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Checkpoint,
    Key,
    Record,
    Snapshot,
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Checkpoint => b'C',
            Self::Key => b'K',
            Self::Record => b'R',
            Self::Snapshot => b'S',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        [Self::Checkpoint, Self::Key, Self::Record, Self::Snapshot].into_iter().find(|kind| kind.letter() == letter)
    }
}

/// Digits of the CRC and the space behind them.
const PREFIX: usize = 9;

/// Adds a line. Its parts, which hold no newline, are joined by spaces.
pub(super) fn write(lines: &mut Vec<u8>, kind: Kind, parts: &[&[u8]]) {
    let start = lines.len();
    lines.extend_from_slice(&[b' '; PREFIX]);
    lines.push(kind.letter());
    for part in parts {
        lines.push(b' ');
        lines.extend_from_slice(part);
    }
    let crc = crc32c::crc32c(&lines[start + PREFIX..]);
    lines[start..start + PREFIX - 1].copy_from_slice(&digits(crc));
    lines.push(b'\n');
}

/// Kind and rest of a line without its newline; none when the CRC does not fit or the kind is unknown.
pub(super) fn read(line: &[u8]) -> Option<(Kind, &[u8])> {
    let (crc, body) = line.split_at_checked(PREFIX)?;
    if crc[PREFIX - 1] != b' ' || crc[..PREFIX - 1] != digits(crc32c::crc32c(body)) {
        return None;
    }
    match body {
        [letter, b' ', rest @ ..] => Some((Kind::of(*letter)?, rest)),
        _ => None,
    }
}

fn digits(crc: u32) -> [u8; PREFIX - 1] {
    let digit = |nibble: u32| char::from_digit(nibble & 0xf, 16).map_or(b'0', |c| c as u8);
    std::array::from_fn(|i| digit(crc >> (28 - 4 * i)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_documented() {
        let mut lines = Vec::new();
        write(&mut lines, Kind::Record, &[b"region", b"{}"]);
        // CRC-32C of "R region {}".
        assert_eq!(
            String::from_utf8(lines.clone()).unwrap(),
            format!("{:08x} R region {{}}\n", crc32c::crc32c(b"R region {}"))
        );
        assert_eq!(read(&lines[..lines.len() - 1]), Some((Kind::Record, b"region {}".as_slice())));
        // The check value that the polynomial is known by.
        assert_eq!(digits(crc32c::crc32c(b"123456789")), *b"e3069283");
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "00000000", "00000000 ", "00000000 R region {}", "e3069283 123456789", "E3069283 123456789"] {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }
}
