//! The JSON dialect of fastjson 1.x, made standard for an ordinary JSON reader.

use std::borrow::Cow;

use memchr::{memchr2, memmem};
use serde::de::IgnoredAny;

use super::encoding::json_text::{put_string, unescape};

/// How deep values may nest.
const DEPTH_MAX: u32 = 64;

/// How deep objects may stand inside keys; each level doubles the backslashes.
const KEY_DEPTH_MAX: u32 = 2;

/// The input as standard JSON; borrowed where it is standard already.
///
/// Bare, integer and object keys become quoted ones (an object key as its own JSON text), single
/// quotes double ones, stray commas vanish, and so do `$ref` members: what they stand for is left
/// empty. Input that cannot be mended comes back unchanged, for the JSON reader to refuse.
pub fn to_standard(input: &[u8]) -> Cow<'_, [u8]> {
    let standard = serde_json::from_slice::<IgnoredAny>(input).is_ok();
    if standard && memmem::find(input, b"$ref").is_none() {
        return Cow::Borrowed(input);
    }
    let mut mender = Mender { input, at: 0, depth: 0, key_depth: 0 };
    let mut out = Vec::with_capacity(input.len() + 64);
    match mender.document(&mut out) {
        Some(()) => Cow::Owned(out),
        None => Cow::Borrowed(input),
    }
}

struct Mender<'i> {
    input: &'i [u8],
    at: usize,
    depth: u32,
    key_depth: u32,
}

/// Every step gives `None` where the input makes no sense.
impl<'i> Mender<'i> {
    fn document(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.space();
        self.value(out)?;
        self.space().is_none().then_some(())
    }

    fn value(&mut self, out: &mut Vec<u8>) -> Option<()> {
        match self.peek()? {
            quote @ (b'"' | b'\'') => self.string(quote, out),
            b'{' => self.container(b'}', out, Self::member),
            b'[' => self.container(b']', out, Self::value),
            _ => {
                match self.word()? {
                    b"undefined" | b"NaN" => out.extend_from_slice(b"null"),
                    word => out.extend_from_slice(word),
                }
                Some(())
            }
        }
    }

    fn container(
        &mut self,
        end: u8,
        out: &mut Vec<u8>,
        item: fn(&mut Self, &mut Vec<u8>) -> Option<()>,
    ) -> Option<()> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        out.push(self.peek()?);
        self.at += 1;
        let start = out.len();
        loop {
            while self.space()? == b',' {
                self.at += 1;
            }
            if self.peek()? == end {
                break;
            }
            let before = out.len();
            if before > start {
                out.push(b',');
            }
            let item_start = out.len();
            item(self, out)?;
            if out.len() == item_start {
                out.truncate(before);
            }
            if !matches!(self.space()?, b',' | b'}' | b']') {
                return None;
            }
        }
        self.at += 1;
        self.depth -= 1;
        out.push(end);
        Some(())
    }

    fn member(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        self.key(out)?;
        let reference = &out[start..] == b"\"$ref\"";
        if self.space()? != b':' {
            return None;
        }
        self.at += 1;
        self.space();
        out.push(b':');
        self.value(out)?;
        if reference {
            out.truncate(start);
        }
        Some(())
    }

    fn key(&mut self, out: &mut Vec<u8>) -> Option<()> {
        match self.peek()? {
            quote @ (b'"' | b'\'') => self.string(quote, out),
            b'{' if self.key_depth < KEY_DEPTH_MAX => {
                self.key_depth += 1;
                let mut key = Vec::new();
                self.value(&mut key)?;
                self.key_depth -= 1;
                put_string(out, &key);
                Some(())
            }
            _ => {
                put_string(out, self.word()?);
                Some(())
            }
        }
    }

    fn word(&mut self) -> Option<&'i [u8]> {
        let rest = &self.input[self.at..];
        let len = rest.iter().take_while(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'+' | b'-' | b'.')
        });
        let word = &rest[..len.count()];
        self.at += word.len();
        (!word.is_empty()).then_some(word)
    }

    fn string(&mut self, quote: u8, out: &mut Vec<u8>) -> Option<()> {
        self.at += 1;
        let mut text = Cow::Borrowed(&self.input[self.at..self.at]);
        loop {
            let rest = &self.input[self.at..];
            let len = memchr2(quote, b'\\', rest)?;
            self.at += len + 1;
            if text.is_empty() {
                text = Cow::Borrowed(&rest[..len]);
            } else {
                text.to_mut().extend_from_slice(&rest[..len]);
            }
            if rest[len] == quote {
                put_string(out, &text);
                return Some(());
            }
            let (character, taken) = unescape(&rest[len + 1..])?;
            self.at += taken;
            text.to_mut().extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | 0x8 | 0xc) = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(input: &str) -> String {
        String::from_utf8(to_standard(input.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn standard_input_is_borrowed() {
        let input = br#"{"a":[1,2.5e3,"x\n",null,true,{"b":{}}]}"#;
        assert!(matches!(to_standard(input), Cow::Borrowed(_)));
    }

    #[test]
    fn each_liberty_becomes_standard() {
        let cases = [
            (r#"{0:"a",-1:"b"}"#, r#"{"0":"a","-1":"b"}"#),
            ("{a_b:1,$c:'it'}", r#"{"a_b":1,"$c":"it"}"#),
            (r#"{a:'say "x"',b:'it\'s'}"#, r#"{"a":"say \"x\"","b":"it's"}"#),
            ("{,,a : 1,, b:[ ,1,, 2,],}", r#"{"a":1,"b":[1,2]}"#),
            (
                r#"{"t":{{"brokerName":"b","queueId":0}:{x:1}}}"#,
                r#"{"t":{"{\"brokerName\":\"b\",\"queueId\":0}":{"x":1}}}"#,
            ),
            (r#"{"a":{"$ref":"$.b"},"b":{"$ref":"@",c:1}}"#, r#"{"a":{},"b":{"c":1}}"#),
            (r#"{a:"\x41\u00e9\ud83d\ude00\v"}"#, "{\"a\":\"A\u{e9}\u{1f600}\\u000b\"}"),
            ("{a:\"raw\ttab\"}", r#"{"a":"raw\ttab"}"#),
            ("{a:undefined}", r#"{"a":null}"#),
        ];
        for (input, expected) in cases {
            assert_eq!(mended(input), expected, "{input}");
        }
    }

    #[test]
    fn senseless_input_comes_back_for_the_reader_to_refuse() {
        let deep = "[".repeat(100_000);
        let keys = "{".repeat(100_000);
        for input in ["", "{a:1", "{a}", "{a:1 b:2}", "[1}", "{a:1}x", "{a:'", "{a:'\\q'}", "{:1}"]
            .into_iter()
            .chain([deep.as_str(), keys.as_str()])
        {
            assert_eq!(mended(input), input);
            assert!(serde_json::from_str::<serde_json::Value>(input).is_err(), "{input}");
        }
    }
}
