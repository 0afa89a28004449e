//! Reads what a load needs of an answer, and nothing else of it.

use anyhow::{Context, Result, bail};
use memchr::memmem;

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its code.
    pub code: i32,
    /// The number of its request.
    pub opaque: u32,
    /// Its body.
    pub body: &'a [u8],
    header: &'a [u8],
    binary: bool,
}

impl<'a> Answer<'a> {
    /// Reads a whole frame.
    pub fn read(frame: &'a [u8]) -> Result<Self> {
        let mark = frame.get(4..8).context("a frame without a header")?;
        let header_len = u32::from_be_bytes([0, mark[1], mark[2], mark[3]]) as usize;
        let header = frame.get(8..8 + header_len).context("a header longer than its frame")?;
        let body = &frame[8 + header_len..];
        match mark[0] {
            0 => {
                let code = json_number(header, b"\"code\":").context("no code in an answer")?;
                let opaque = json_number(header, b"\"opaque\":").context("no opaque")?;
                Ok(Self { code: code as i32, opaque: opaque as u32, body, header, binary: false })
            }
            1 => {
                let fixed = header.first_chunk::<13>().context("a short binary header")?;
                let code = i32::from(i16::from_be_bytes([fixed[0], fixed[1]]));
                let opaque = u32::from_be_bytes([fixed[5], fixed[6], fixed[7], fixed[8]]);
                Ok(Self { code, opaque, body, header, binary: true })
            }
            other => bail!("unknown encoding {other}"),
        }
    }

    /// The number in an ext field.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.find(field, leading_number)
    }

    /// Where a sent message is in the log: the last 16 digits of its id.
    pub fn position(&self) -> Option<u64> {
        self.find("msgId", |id| {
            let len = id.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let digits = std::str::from_utf8(&id[len.checked_sub(16)?..len]).ok()?;
            u64::from_str_radix(digits, 16).ok()
        })
    }

    /// What can be read at the value of an ext field.
    fn find<T>(&self, field: &str, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        for at in memmem::find_iter(self.header, field.as_bytes()) {
            let rest = &self.header[at + field.len()..];
            // Text: `"name":"123"`. Binary: the name, the length of the value, the value.
            let value = if self.binary {
                rest.get(4..)
            } else {
                rest.strip_prefix(b"\":").map(|rest| rest.strip_prefix(b"\"").unwrap_or(rest))
            };
            if let Some(found) = value.and_then(&read) {
                return Some(found);
            }
        }
        None
    }

    /// The remark, as it stands on the wire.
    pub fn remark(&self) -> String {
        let text = if self.binary {
            let len = self
                .header
                .get(13..17)
                .map_or(0, |len| u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize);
            self.header.get(17..17 + len).unwrap_or_default()
        } else {
            let start = memmem::find(self.header, b"\"remark\":\"").map_or(0, |at| at + 10);
            let rest = &self.header[start..];
            &rest[..memchr::memchr(b'"', rest).unwrap_or(0)]
        };
        String::from_utf8_lossy(text).into_owned()
    }
}

fn json_number(header: &[u8], name: &[u8]) -> Option<i64> {
    let at = memmem::find(header, name)? + name.len();
    leading_number(header[at..].trim_ascii_start())
}

fn leading_number(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, bytes),
    };
    let mut number = 0_i64;
    let mut count = 0;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        number = number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        count += 1;
    }
    (count > 0).then_some(if negative { -number } else { number })
}
