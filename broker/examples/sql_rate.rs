//! How many messages a second one core filters: `cargo run --release -p broker --example sql_rate`.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use broker::Sql;

const EXPRESSIONS: [&str; 3] = [
    "a = 'x'",
    "price BETWEEN 10 AND 20.5 AND region IN ('eu', 'us') AND vip IS NOT NULL",
    "(price > 5000 OR region = 'asia') AND name NOT CONTAINS 'test'",
];
/// As a producer sends them and a broker completes them.
const PROPERTIES: &str = "TAGS\u{1}TagA\u{2}KEYS\u{1}order-17\u{2}region\u{1}us\u{2}price\u{1}17\u{2}\
    vip\u{1}true\u{2}name\u{1}a customer\u{2}UNIQ_KEY\u{1}7F000001000118B4AAC2000000000000\u{2}\
    WAIT\u{1}true\u{2}MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}";
const ROUNDS: u32 = 5_000_000;

fn main() -> Result<()> {
    for text in EXPRESSIONS {
        let sql = Sql::compile(text)?;
        let begun = Instant::now();
        let matched = (0..ROUNDS).filter(|_| sql.matches(black_box(PROPERTIES.as_bytes()))).count();
        let rate = f64::from(ROUNDS) / begun.elapsed().as_secs_f64() / 1e6;
        println!("{rate:6.2} M/s, {matched} of {ROUNDS} match: {text}");
    }
    Ok(())
}
