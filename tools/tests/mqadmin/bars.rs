//! Bars, where somebody can see them.

use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn long_commands_show_bars_on_a_terminal_alone() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 16 -w 16").await;
    site.ok("updateSubGroup -b @ -g g").await;
    site.ok("sendMessage -t T -p x").await;
    site.registered().await;
    let out = site.file("out");
    let store = site.file("store");
    for (line, total) in [
        ("resetOffsetByTime -g g -t T -s 0 --dry-run".to_owned(), "/16 "),
        ("skipAccumulatedMessage -g g -t T".to_owned(), "/1 "),
        (format!("exportConfigs -c DefaultCluster -f {out}"), "/1 "),
        (format!("exportMetadata -c DefaultCluster -f {out}"), "/1 "),
        (format!("exportMetrics -c DefaultCluster -f {out}"), "/1 "),
        ("printMsg -t T".to_owned(), "/1 "),
        (format!("store check {store}"), " B/"),
    ] {
        let seen = site.on_terminal(&line).await;
        let is_bar = seen.contains(['\u{2588}', '\u{2591}']);
        assert!(is_bar && seen.contains(total), "{line}: {seen:?}");
        // Nothing of it is left: its line is cleared.
        let left = seen.rsplit("\u{1b}[2K").next().unwrap_or(&seen);
        assert_eq!(left.trim(), "", "{line}: {seen:?}");
        let silent = site.run(&line).await;
        assert_eq!(silent.err, "", "{line}");
    }
    site.stop().await;
}
