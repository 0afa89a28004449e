//! The body of a batch send: messages that share topic, queue and the rest of the header.
//!
//! ```text
//! i32 size | i32 0 | i32 0 | i32 flag | i32 n, body | i16 n, properties      repeated
//! ```

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::Properties;
use super::properties::PROPERTIES_LEN_MAX;
use super::record::EncodeError;

const HEAD_LEN: usize = 20;

/// One message of a batch, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    /// The sender's own flag.
    pub flag: i32,
    /// The body.
    pub body: &'a [u8],
    /// Raw property string.
    pub properties: &'a str,
}

impl<'a> BatchMessage<'a> {
    /// Views the properties.
    pub fn properties(&self) -> Properties<'a> {
        Properties::new(self.properties)
    }

    /// Returns the length of the encoded message.
    pub fn encoded_len(&self) -> usize {
        HEAD_LEN + self.body.len() + 2 + self.properties.len()
    }

    /// Appends the message to `out`; on an error nothing is appended.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let len = self.encoded_len();
        let limits = [
            ("property string", self.properties.len(), PROPERTIES_LEN_MAX),
            ("message", len, i32::MAX as usize),
        ];
        for (part, len, len_max) in limits {
            if len > len_max {
                return Err(EncodeError::TooLong { part, len, len_max });
            }
        }
        out.reserve(len);
        out.put_u32(len as u32);
        out.put_u64(0);
        out.put_i32(self.flag);
        out.put_u32(self.body.len() as u32);
        out.put_slice(self.body);
        out.put_u16(self.properties.len() as u16);
        out.put_slice(self.properties.as_bytes());
        Ok(())
    }
}

/// Why a batch body cannot be read further.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    /// A length is negative or leads behind the end of the body.
    #[error("message {index} of the batch: {part} does not fit")]
    Length {
        /// Number of the message, from 0.
        index: usize,
        /// The part that does not fit.
        part: &'static str,
    },
    /// The properties are not UTF-8.
    #[error("message {index} of the batch: properties are not UTF-8")]
    Properties {
        /// Number of the message, from 0.
        index: usize,
    },
}

/// The messages of a batch body, in order; it ends after the first error.
#[derive(Clone, Debug)]
pub struct BatchMessages<'a> {
    rest: &'a [u8],
    index: usize,
}

impl<'a> BatchMessages<'a> {
    /// Iterates over a batch body.
    pub fn new(body: &'a [u8]) -> Self {
        BatchMessages { rest: body, index: 0 }
    }

    fn message(&mut self) -> Result<BatchMessage<'a>, BatchError> {
        // Wire: size, magic and CRC are filled by nobody with meaning; the parts have lengths.
        self.array::<12>("head")?;
        let flag = i32::from_be_bytes(self.array("flag")?);
        let body_len = i32::from_be_bytes(self.array("body length")?);
        let body = self.take(body_len, "body")?;
        let properties_len = i16::from_be_bytes(self.array("properties length")?);
        let properties = self.take(properties_len.into(), "properties")?;
        let properties = std::str::from_utf8(properties)
            .map_err(|_| BatchError::Properties { index: self.index })?;
        Ok(BatchMessage { flag, body, properties })
    }

    fn take(&mut self, len: i32, part: &'static str) -> Result<&'a [u8], BatchError> {
        let wrong = BatchError::Length { index: self.index, part };
        let len = usize::try_from(len).map_err(|_| wrong)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(wrong)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], BatchError> {
        let wrong = BatchError::Length { index: self.index, part };
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(wrong)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Iterator for BatchMessages<'a> {
    type Item = Result<BatchMessage<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.message();
        if message.is_err() {
            self.rest = &[];
        }
        self.index += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_batch_names_the_message_and_the_part() {
        let mut body = BytesMut::new();
        let message = BatchMessage { flag: 1, body: b"abc", properties: "a\u{1}b\u{2}" };
        message.encode(&mut body).unwrap();
        message.encode(&mut body).unwrap();
        let cut = &body[..body.len() - 1];
        let read: Vec<_> = BatchMessages::new(cut).collect();
        let error = BatchError::Length { index: 1, part: "properties" };
        assert_eq!(read, [Ok(message), Err(error)]);
    }

    #[test]
    fn too_long_properties_are_refused() {
        let properties = "a".repeat(PROPERTIES_LEN_MAX + 1);
        let message = BatchMessage { flag: 0, body: b"", properties: &properties };
        let mut out = BytesMut::new();
        assert!(message.encode(&mut out).is_err());
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn messages_round_trip(parts in prop::collection::vec(
            (any::<i32>(), prop::collection::vec(any::<u8>(), 0..50), ".{0,20}"), 0..6)) {
            let mut body = BytesMut::new();
            let mut messages = Vec::new();
            for (flag, bytes, properties) in &parts {
                let message = BatchMessage { flag: *flag, body: bytes, properties };
                message.encode(&mut body).unwrap();
                messages.push(message);
            }
            let read: Result<Vec<_>, _> = BatchMessages::new(&body).collect();
            prop_assert_eq!(read, Ok(messages));
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(BatchMessages::new(&bytes).count() <= bytes.len());
        }
    }
}
