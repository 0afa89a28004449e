//! Offsets: reset, skipped, cloned, compared, set back.

use crate::site::Site;

/// A topic of two queues with three messages in each.
async fn filled() -> Site {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 2 -w 2").await;
    for group in ["g", "h"] {
        site.ok(&format!("updateSubGroup -b @ -g {group}")).await;
    }
    for n in 0..6 {
        site.ok(&format!("sendMessage -t T -p m{n} -b b -i {}", n % 2)).await;
    }
    site.registered().await;
    site
}

async fn offsets(site: &Site, group: &str) -> Vec<i64> {
    let diff = site.json(&format!("offsets diff {group} nobody -t T")).await;
    let queues = diff["queues"].as_array().unwrap();
    queues.iter().map(|queue| queue["offsets"][0].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_reset_and_set_back() {
    let site = filled().await;
    let out = site.ok("skipAccumulatedMessage -g g -t T").await;
    assert!(out.starts_with(&format!("{:<40}  {:<40}", "#brokerName", "#queueId")), "{out}");
    assert_eq!(offsets(&site, "g").await, [3, 3]);
    let out = site.ok("resetOffsetByTime -g g -t T -s 0").await;
    let title = "start reset consumer offset by specified, group[g], topic[T], force[true], \
                 timestamp(string)[0], timestamp(long)[0]\n";
    assert!(out.starts_with(title), "{out}");
    assert_eq!(offsets(&site, "g").await, [0, 0]);
    site.ok("offsets rollback g").await;
    assert_eq!(offsets(&site, "g").await, [3, 3], "as before the reset");
    let out = site.ok("resetOffsetByTime -g g -t T -s now -b @ -q 1 -o 1").await;
    assert!(out.ends_with("reset consumer offset to 1\n"), "{out}");
    assert_eq!(offsets(&site, "g").await, [3, 1]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_cloned_copied_and_compared() {
    let site = filled().await;
    site.ok("skipAccumulatedMessage -g g -t T").await;
    let out = site.ok("cloneGroupOffset -s g -d h -t T").await;
    assert_eq!(out, "clone group offset success. srcGroup[g], destGroup=[h], topic[T]");
    assert_eq!(offsets(&site, "h").await, [3, 3]);
    site.ok("resetOffsetByTime -g h -t T -s 0").await;
    let diff = site.ok("offsets diff g h -t T").await;
    assert_eq!(diff.lines().filter(|line| line.ends_with("-3")).count(), 2, "{diff}");
    site.ok("offsets copy g h --yes").await;
    assert_eq!(offsets(&site, "h").await, [3, 3]);
    assert_eq!(site.run("offsets copy nobody h").await.code, 2);
    site.stop().await;
}
