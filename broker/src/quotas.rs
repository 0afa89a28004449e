//! How many messages a second a topic, a group and an address may have, where an operator says so.
//!
//! Each has a bucket of tokens that fills at its rate. Who finds it empty is answered 215: a Java
//! consumer asks again after 20 ms, a producer throws to its caller. How many messages a request
//! is about is known only afterwards, so a bucket may go below zero and has to fill up first: the
//! rate holds in the long run, whatever the size of batches. Without quotas, as by default, a
//! request costs one look at a flag.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use remoting::protocol::code::ResponseCode;
use runtime::clock::now_ms;
use runtime::config::{BadText, PropertyValue};

use crate::broker::Broker;
use crate::call::Call;
use crate::config::LiveConfig;
use crate::reject::Reject;

/// Stands for everybody who is not named.
const OTHERS: &str = "*";

/// A rate with the tokens that may be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    per_second: u32,
    burst: u32,
}

/// Rates by name: `NAME:MESSAGES_PER_SECOND`, with `/BURST` if that is not the same, separated by
/// commas; `*` is the rate of each one that is not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(BTreeMap<String, Rate>);

impl Rates {
    fn of(&self, name: &str) -> Option<Rate> {
        self.0.get(name).or_else(|| self.0.get(OTHERS)).copied()
    }
}

impl PropertyValue for Rates {
    const KIND: &'static str = "String";

    fn parse(text: &str) -> Result<Rates, BadText> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let rates: Option<_> = entries.map(rate).collect();
        let expected = "NAME:NUMBER or NAME:NUMBER/BURST, separated by commas, * for all others, \
                        as in Orders:1000,*:100/500";
        rates.map(Rates).ok_or_else(|| BadText::Outside(expected.to_owned()))
    }

    fn show(&self) -> String {
        let entry = |(name, rate): (&String, &Rate)| match rate.burst == rate.per_second {
            true => format!("{name}:{}", rate.per_second),
            false => format!("{name}:{}/{}", rate.per_second, rate.burst),
        };
        self.0.iter().map(entry).collect::<Vec<_>>().join(",")
    }
}

fn rate(entry: &str) -> Option<(String, Rate)> {
    // An IPv6 address has colons of its own.
    let (name, rate) = entry.rsplit_once(':')?;
    let (per_second, burst) = rate.split_once('/').unwrap_or((rate, rate));
    let rate = Rate { per_second: per_second.parse().ok()?, burst: burst.parse().ok()? };
    let sound = !name.is_empty() && !name.contains([';', '/', ' ', '=']);
    let fills = rate.per_second > 0 && rate.burst > 0;
    (sound && fills).then(|| (name.to_owned(), rate))
}

/// Tokens of one topic, group or address.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_ms: i64,
}

impl Bucket {
    fn full(rate: Rate, now_ms: i64) -> Bucket {
        Bucket { tokens: rate.burst.into(), filled_ms: now_ms }
    }

    fn fill(&mut self, rate: Rate, now_ms: i64) {
        let passed = now_ms.saturating_sub(self.filled_ms).max(0) as f64 / 1000.0;
        self.filled_ms = now_ms;
        self.tokens = (self.tokens + passed * f64::from(rate.per_second)).min(rate.burst.into());
    }
}

/// The buckets of all topics, all groups or all addresses.
struct Buckets<K>(DashMap<K, Bucket>);

impl<K: Eq + Hash> Buckets<K> {
    fn new() -> Self {
        Buckets(DashMap::new())
    }

    /// Whether there is a token.
    fn may<Q>(&self, key: &Q, rate: Rate, now_ms: i64) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(mut bucket) = self.0.get_mut(key) else { return true };
        bucket.fill(rate, now_ms);
        bucket.tokens >= 1.0
    }

    /// Takes as many as were needed, perhaps more than there are.
    fn take<Q>(&self, key: &Q, rate: Rate, count: u64, now_ms: i64)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let count = count as f64;
        if let Some(mut bucket) = self.0.get_mut(key) {
            bucket.fill(rate, now_ms);
            bucket.tokens -= count;
            return;
        }
        let new = || Bucket::full(rate, now_ms);
        self.0.entry(key.to_owned()).or_insert_with(new).tokens -= count;
    }

    /// Forgets who has not been here for so long that nothing is owed.
    fn tidy(&self, rate: impl Fn(&K) -> Option<Rate>, now_ms: i64) {
        self.0.retain(|key, bucket| {
            let Some(rate) = rate(key) else { return false };
            bucket.fill(rate, now_ms);
            bucket.tokens < f64::from(rate.burst)
        });
    }
}

/// What is permitted.
#[derive(Default)]
struct Limits {
    topics: Rates,
    groups: Rates,
    addresses: Rates,
}

/// The quotas of a broker.
pub(crate) struct Quotas {
    on: AtomicBool,
    limits: ArcSwap<Limits>,
    topics: Buckets<String>,
    groups: Buckets<String>,
    addresses: Buckets<IpAddr>,
    refused: AtomicU64,
}

impl Quotas {
    /// The quotas of the settings.
    pub(crate) fn new(config: &LiveConfig) -> Quotas {
        let quotas = Quotas {
            on: AtomicBool::new(false),
            limits: ArcSwap::default(),
            topics: Buckets::new(),
            groups: Buckets::new(),
            addresses: Buckets::new(),
            refused: AtomicU64::new(0),
        };
        quotas.change(config);
        quotas
    }

    /// Takes over changed settings.
    pub(crate) fn change(&self, config: &LiveConfig) {
        let limits = Limits {
            topics: config.quota_topics.clone(),
            groups: config.quota_groups.clone(),
            addresses: config.quota_client_ips.clone(),
        };
        let on = [&limits.topics, &limits.groups, &limits.addresses]
            .into_iter()
            .any(|rates| !rates.0.is_empty());
        self.limits.store(limits.into());
        self.on.store(on, Ordering::Relaxed);
    }

    /// How many requests were refused since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Forgets who owes nothing; called every 10 s.
    pub(crate) fn tidy(&self, now_ms: i64) {
        let limits = self.limits.load();
        self.topics.tidy(|name| limits.topics.of(name), now_ms);
        self.groups.tidy(|name| limits.groups.of(name), now_ms);
        self.addresses.tidy(|address| limits.addresses.of(&address.to_string()), now_ms);
    }

    pub(crate) fn on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn may_address(&self, limits: &Limits, address: IpAddr, now_ms: i64) -> Result<(), Reject> {
        if limits.addresses.0.is_empty() {
            return Ok(());
        }
        let Some(rate) = limits.addresses.of(&address.to_string()) else { return Ok(()) };
        if !self.addresses.may(&address, rate, now_ms) {
            return Err(self.over("address", &address.to_string(), rate, "quotaClientIps"));
        }
        self.addresses.take(&address, rate, 1, now_ms);
        Ok(())
    }

    fn may_group(&self, limits: &Limits, group: &str, now_ms: i64) -> Result<(), Reject> {
        match limits.groups.of(group) {
            Some(rate) if !self.groups.may(group, rate, now_ms) => {
                Err(self.over("group", group, rate, "quotaGroups"))
            }
            _ => Ok(()),
        }
    }

    fn over(&self, what: &str, name: &str, rate: Rate, key: &str) -> Reject {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let per_second = rate.per_second;
        let remark = format!("{what} {name} is over its quota of {per_second} a second ({key})");
        Reject::new(ResponseCode::FlowControl, remark)
    }
}

impl Broker {
    /// Refuses a send whose topic, group or address is over its quota.
    pub(crate) fn may_send(&self, call: &Call<'_>, topic: &str, group: &str) -> Result<(), Reject> {
        if !self.quotas.on() {
            return Ok(());
        }
        let (limits, now) = (self.quotas.limits.load(), now_ms());
        if let Some(rate) = limits.topics.of(topic)
            && !self.quotas.topics.may(topic, rate, now)
        {
            return Err(self.quotas.over("topic", topic, rate, "quotaTopics"));
        }
        self.quotas.may_group(&limits, group, now)?;
        self.quotas.may_address(&limits, call.peer.announced().ip().to_canonical(), now)
    }

    /// Counts what was sent against the quotas.
    pub(crate) fn has_sent(&self, topic: &str, group: &str, messages: u64) {
        if !self.quotas.on() {
            return;
        }
        let (limits, now) = (self.quotas.limits.load(), now_ms());
        if let Some(rate) = limits.topics.of(topic) {
            self.quotas.topics.take(topic, rate, messages, now);
        }
        if let Some(rate) = limits.groups.of(group) {
            self.quotas.groups.take(group, rate, messages, now);
        }
    }

    /// Refuses a pull or pop whose group or address is over its quota.
    pub(crate) fn may_get(&self, call: &Call<'_>, group: &str) -> Result<(), Reject> {
        if !self.quotas.on() {
            return Ok(());
        }
        let (limits, now) = (self.quotas.limits.load(), now_ms());
        self.quotas.may_group(&limits, group, now)?;
        self.quotas.may_address(&limits, call.peer.announced().ip().to_canonical(), now)
    }

    /// Counts what was delivered against the quotas.
    pub(crate) fn has_got(&self, group: &str, messages: u64) {
        if !self.quotas.on() {
            return;
        }
        if let Some(rate) = self.quotas.limits.load().groups.of(group) {
            self.quotas.groups.take(group, rate, messages, now_ms());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> Rates {
        Rates::parse(text).expect(text)
    }

    #[test]
    fn rates_are_read_and_shown() {
        for text in ["", "Orders:1000", "*:5/50,Orders:1000", "::1:9"] {
            assert_eq!(rates(text).show(), text);
        }
        assert_eq!(rates(" b:2 ,, a:1/1").show(), "a:1,b:2");
        for text in ["Orders", "Orders:", ":5", "Orders:0", "Orders:5/0", "Orders:-1", "a:1;b:2"] {
            assert!(matches!(Rates::parse(text), Err(BadText::Outside(_))), "{text}");
        }
    }

    #[test]
    fn a_name_goes_before_the_others() {
        let rates = rates("Orders:7,*:1");
        assert_eq!(rates.of("Orders").map(|rate| rate.per_second), Some(7));
        assert_eq!(rates.of("Logs").map(|rate| rate.per_second), Some(1));
        assert_eq!(self::rates("Orders:7").of("Logs"), None);
    }

    #[test]
    fn the_rate_holds_in_the_long_run_whatever_is_taken_at_once() {
        let rate = Rate { per_second: 100, burst: 20 };
        for at_once in [1, 7, 500] {
            let buckets = Buckets::<String>::new();
            let (mut sent, mut now) = (0_u64, 0);
            while now < 100_000 {
                if buckets.may("T", rate, now) {
                    buckets.take("T", rate, at_once, now);
                    sent += at_once;
                }
                now += 3;
            }
            let most = 10_000 + 20 + at_once;
            assert!((9_900..=most).contains(&sent), "{at_once}: {sent}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_takes_nothing() {
        let rate = Rate { per_second: 10, burst: 10 };
        let buckets = Buckets::<String>::new();
        buckets.take("T", rate, 10, 1_000);
        assert!(!buckets.may("T", rate, 500));
        assert!(buckets.may("T", rate, 600));
    }

    #[test]
    fn who_owes_nothing_is_forgotten() {
        let rate = Rate { per_second: 10, burst: 10 };
        let buckets = Buckets::<String>::new();
        buckets.take("T", rate, 20, 0);
        buckets.tidy(|_| Some(rate), 1_000);
        assert_eq!(buckets.0.len(), 1);
        buckets.tidy(|_| Some(rate), 2_000);
        assert_eq!(buckets.0.len(), 0);
        buckets.take("T", rate, 20, 0);
        buckets.tidy(|_| None, 0);
        assert_eq!(buckets.0.len(), 0);
    }
}
