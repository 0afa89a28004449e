//! Signatures of requests, as servers with access control ask for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use remoting::protocol::ext_fields::FieldSink;
use remoting::protocol::header::EncodeHeader;
use sha1::Sha1;

/// Who signs: `accessKey` and `secretKey` of `conf/tools.yml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    access_key: String,
    secret_key: String,
}

impl Credentials {
    /// Reads `$ROCKETMQ_HOME/conf/tools.yml`; without the file or a key requests go unsigned.
    pub fn from_home() -> Option<Self> {
        let home = PathBuf::from(std::env::var_os("ROCKETMQ_HOME")?);
        Self::read(&home.join("conf/tools.yml"))
    }

    fn read(path: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(path).ok()?)
    }

    /// Takes the two keys from lines of `key: value`.
    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
            let value = line.trim_start().strip_prefix(':')?;
            let value = value.split(" #").next().unwrap_or_default().trim();
            let value = value.trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        Some(Self { access_key: value("accessKey")?, secret_key: value("secretKey")? })
    }

    /// The fields to add: the access key, and the HMAC-SHA1 over the values of all fields in the
    /// order of their names and the body.
    pub fn sign(
        &self,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> [(&'static str, String); 2] {
        let mut fields = Sorted(BTreeMap::new());
        header.encode(&mut fields);
        for (name, value) in extra {
            fields.put(name, value);
        }
        fields.put("AccessKey", &self.access_key);
        // Invariant: HMAC takes keys of any length.
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret_key.as_bytes())
            .unwrap_or_else(|_| unreachable!("a key of any length"));
        for value in fields.0.values() {
            mac.update(value.as_bytes());
        }
        mac.update(body);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        [("AccessKey", self.access_key.clone()), ("Signature", signature)]
    }
}

struct Sorted(BTreeMap<String, String>);

impl FieldSink for Sorted {
    fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use remoting::protocol::header::{GetTopicConfigRequestHeader, NoHeader};

    use super::*;

    fn credentials() -> Credentials {
        Credentials::parse("accessKey: rocketmq2\nsecretKey: \"12345678\" # changed\n").unwrap()
    }

    #[test]
    fn keys_are_read_and_needed() {
        let Credentials { access_key, secret_key } = credentials();
        assert_eq!((access_key.as_str(), secret_key.as_str()), ("rocketmq2", "12345678"));
        assert_eq!(Credentials::parse("accessKey: a\n"), None);
        assert_eq!(Credentials::parse("accessKey: a\nsecretKey:\n"), None);
    }

    /// Expected values: `printf %s TEXT | openssl dgst -sha1 -hmac 12345678 -binary | base64`.
    #[test]
    fn values_are_signed_in_the_order_of_names() {
        let [_, (_, signature)] = credentials().sign(&NoHeader, &[], b"body");
        assert_eq!(signature, SIGNED_BODY);
        let header = GetTopicConfigRequestHeader { topic: "T".to_owned() };
        let [(_, key), (_, signature)] = credentials().sign(&header, &[("bname", "b")], b"");
        assert_eq!((key.as_str(), signature.as_str()), ("rocketmq2", SIGNED_FIELDS));
    }

    const SIGNED_BODY: &str = "FQf3pBY0VrdeAiZDqQz+584tFhk=";
    const SIGNED_FIELDS: &str = "jCtmwkBrQMrLf/YC72O/RBI9lJY=";
}
