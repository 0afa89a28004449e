//! Which groups pull and which pop a topic: `config/messageRequestMode.json`.
//!
//! An administrator sets it by topic and group (401), and it is on disk before the answer; whoever
//! is not in the table has `defaultMessageRequestMode`. A damaged file stops the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use remoting::protocol::body::{
    MessageRequestMode, MessageRequestModeSerializeWrapper, SetMessageRequestModeRequestBody,
};
use runtime::config::{BadText, PropertyValue};
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};

/// Name of the file below `config/`.
pub(crate) const FILE_NAME: &str = "messageRequestMode.json";

/// Topic → group → what was set.
type Table = BTreeMap<String, BTreeMap<String, SetMessageRequestModeRequestBody>>;

/// The modes that were set.
pub(crate) struct RequestModes {
    path: PathBuf,
    file: RwLock<ModeFile>,
    /// Held while a snapshot is taken and written, so that an older one never replaces a newer.
    saving: Mutex<()>,
}

#[derive(Serialize, Deserialize, Clone, Default)]
#[serde(rename_all = "camelCase")]
struct ModeFile {
    /// Required: a JSON object without it is another file.
    message_request_mode_map: Table,
    #[serde(flatten)]
    unknown: serde_json::Map<String, serde_json::Value>,
}

impl RequestModes {
    /// Loads the modes of the store below `root`; a missing file means none yet.
    pub(crate) fn load(root: &Path) -> Result<RequestModes, JsonFileError> {
        let path = root.join("config").join(FILE_NAME);
        let file: ModeFile = JsonFile::load(&path)?.unwrap_or_default();
        Ok(RequestModes { path, file: RwLock::new(file), saving: Mutex::new(()) })
    }

    /// Returns what was set for a group on a topic.
    pub(crate) fn find(
        &self,
        topic: &str,
        group: &str,
    ) -> Option<SetMessageRequestModeRequestBody> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.message_request_mode_map.get(topic)?.get(group).cloned()
    }

    /// Sets the mode of a group on a topic; the caller saves.
    pub(crate) fn set(&self, wish: SetMessageRequestModeRequestBody) {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let groups = file.message_request_mode_map.entry(wish.topic.clone()).or_default();
        groups.insert(wish.consumer_group.clone(), wish);
    }

    /// Writes the file.
    pub(crate) fn persist(&self) -> Result<(), JsonFileError> {
        let _one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner).clone();
        JsonFile::save(&self.path, &file)
    }

    /// Returns all modes as replicas get them (402).
    pub(crate) fn wrapper(&self) -> MessageRequestModeSerializeWrapper {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        let message_request_mode_map = file.message_request_mode_map.clone();
        MessageRequestModeSerializeWrapper { message_request_mode_map }
    }
}

/// How a group gets messages, as a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestMode(pub MessageRequestMode);

impl Default for RequestMode {
    fn default() -> Self {
        RequestMode(MessageRequestMode::Pull)
    }
}

impl PropertyValue for RequestMode {
    const KIND: &'static str = "String";

    fn parse(text: &str) -> Result<RequestMode, BadText> {
        let mode = MessageRequestMode::from_name(text.trim()).map(RequestMode);
        mode.ok_or_else(|| BadText::Outside("PULL or POP".to_owned()))
    }

    fn show(&self) -> String {
        self.0.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(topic: &str, group: &str, share: i32) -> SetMessageRequestModeRequestBody {
        SetMessageRequestModeRequestBody {
            topic: topic.to_owned(),
            consumer_group: group.to_owned(),
            mode: Some(MessageRequestMode::Pop),
            pop_share_queue_num: share,
        }
    }

    #[test]
    fn what_is_set_is_there_after_a_restart_with_what_others_wrote() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let path = dir.path().join("config").join(FILE_NAME);
        let java = "{\n\t\"messageRequestModeMap\":{\n\t\t\"T\":{\n\t\t\t\"g\":{\n\t\t\t\t\
                    \"consumerGroup\":\"g\",\n\t\t\t\t\"mode\":\"POP\",\n\t\t\t\t\
                    \"popShareQueueNum\":2,\n\t\t\t\t\"topic\":\"T\"\n\t\t\t}\n\t\t}\n\t}\n}";
        std::fs::write(&path, java.replacen('{', "{\"later\":1,", 1)).unwrap();
        let modes = RequestModes::load(dir.path()).unwrap();
        assert_eq!(modes.find("T", "g"), Some(pop("T", "g", 2)));
        assert!(modes.find("T", "h").is_none() && modes.find("U", "g").is_none());
        modes.set(pop("T", "h", -1));
        modes.persist().unwrap();
        let again = RequestModes::load(dir.path()).unwrap();
        assert_eq!(again.wrapper().message_request_mode_map["T"].len(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["later"], 1);
        assert_eq!(json["messageRequestModeMap"]["T"]["h"]["popShareQueueNum"], -1);
    }

    #[test]
    fn a_file_of_something_else_stops_the_start() {
        for content in ["{\"messageRequ", "{\"offsetTable\":{}}", "[]"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("config")).unwrap();
            std::fs::write(dir.path().join("config").join(FILE_NAME), content).unwrap();
            assert!(RequestModes::load(dir.path()).is_err(), "{content}");
        }
    }

    #[test]
    fn unknown_names_are_no_mode() {
        assert_eq!(RequestMode::parse(" POP "), Ok(RequestMode(MessageRequestMode::Pop)));
        assert!(RequestMode::parse("pop").is_err());
    }
}
