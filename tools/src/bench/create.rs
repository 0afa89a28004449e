//! Creation of topics, while a producer goes on.

use std::rc::Rc;

use anyhow::{Result, ensure};
use remoting::protocol::code::RequestCode;

use super::args::CreateArgs;
use super::beside::Beside;
use super::driver::drive;
use super::report::Outcome;
use super::send::Send;
use super::setup;
use super::tally::Counts;
use super::template::{Extra, SendBody, Template, UNIQUE_MARK};

/// Bytes of the messages sent meanwhile, and how many of them may wait for their answers.
const SIZE: usize = 128;
const WINDOW: usize = 256;

/// Measures creations: each is one of a topic that is not there yet.
pub fn measure(args: &CreateArgs) -> Result<Outcome> {
    ensure!(args.connections > 0 && args.beside > 0.0);
    let common = &args.common;
    let address = setup::broker_address(common)?;
    setup::create_topic(&address, &common.topic, common.queues)?;
    let encoding = common.encoding.encoding();
    let header = setup::topic_header(&format!("{}-{UNIQUE_MARK}", common.topic), common.queues)?;
    let code = RequestCode::UpdateAndCreateTopic;
    let creation = Template::new(code, &header, Rc::new([]), encoding)?;
    let body = SendBody::single(SIZE);
    let send = |queue| Template::send(&common.topic, queue, &body, Extra::default(), encoding);
    let sends = (0..common.queues).map(send).collect::<Result<_>>()?;
    let links = args.connections;
    let mut load = Beside {
        load: &mut Send::new(links, 1, vec![creation]),
        links,
        sends: Send::new(1, WINDOW, sends).at_rate(args.beside).beside(links, Counts::NOTHING),
    };
    drive(common, &address, links + 1, &mut load)
}
