package compat;

import java.util.Base64;
import java.util.List;
import java.util.TreeSet;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages that wait: delay levels, timers, and their recall. */
final class DelayScenarios {
    private static final String SECONDS = "TIMER_DELAY_SEC";
    private static final String MILLIS = "TIMER_DELAY_MS";
    private static final String AT = "TIMER_DELIVER_MS";

    private DelayScenarios() {}

    /** How late a timer may be: the control delivers by the second. */
    private static long lateness(Context c) {
        return c.settings.control ? 4000 : 500;
    }

    private static Message timed(Context c, String body, String property, long value) {
        Message message = c.message(body);
        // Older clients have no method for it, newer ones refuse it as a user's property.
        MessageAccessor.putProperty(message, property, String.valueOf(value));
        return message;
    }

    private static void arrives(Inbox inbox, String body, long start, long after, long late)
            throws Exception {
        Check.eventually(after + 15_000, body + " arrived", true,
                () -> inbox.bodies().contains(body));
        Inbox.Arrival arrival = inbox.all().stream()
                .filter(one -> one.body().equals(body)).findFirst().get();
        Check.between("ms until " + body, after, after + late, (arrival.nanos - start) / 1_000_000);
    }

    static void levels(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = c.consume(c.group);
        Message far = c.message("level 99");
        far.setDelayTimeLevel(99);
        SendResult parked = c.producer.send(far, c.queue(0));
        Check.eventually(5000, "where level 99 waits", List.of("SCHEDULE_TOPIC_XXXX", 17), () -> {
            MessageExt stored = c.admin.viewMessage(c.topic, parked.getOffsetMsgId());
            return List.of(stored.getTopic(), stored.getQueueId());
        });
        Message third = new Message(c.topic, "tag", "key", "level 3".getBytes());
        third.setDelayTimeLevel(3);
        third.putUserProperty("own", "kept");
        Message first = c.message("level 1");
        first.setDelayTimeLevel(1);
        long start = System.nanoTime();
        SendResult sent = c.producer.send(third, c.queue(0));
        c.producer.send(first, c.queue(0));
        c.send(0, "no level");
        arrives(inbox, "no level", start, 0, 5000);
        arrives(inbox, "level 1", start, 900, c.settings.control ? 4100 : 1600);
        arrives(inbox, "level 3", start, 9900, c.settings.control ? 2100 : 1100);
        inbox.awaitExactly(3, 0, 300);
        MessageExt got = inbox.all().get(2).message;
        Check.equal("id", sent.getMsgId(), got.getMsgId());
        Check.equal("tag", "tag", got.getTags());
        Check.equal("key", "key", got.getKeys());
        Check.equal("property", "kept", got.getUserProperty("own"));
        Check.equal("offset in the real queue", 2L, got.getQueueOffset());
    }

    static void timers(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = c.consume(c.group);
        long start = System.nanoTime();
        long now = System.currentTimeMillis();
        c.producer.send(timed(c, "in 5 s", SECONDS, 5), c.queue(0));
        c.producer.send(timed(c, "in 2500 ms", MILLIS, 2500), c.queue(0));
        c.producer.send(timed(c, "at a time", AT, now + 3700), c.queue(0));
        c.producer.send(timed(c, "in the past", AT, now - 3700), c.queue(0));
        for (String property : List.of(SECONDS, AT)) {
            long days = 4 * 86_400L;
            long value = property.equals(SECONDS) ? days : now + days * 1000;
            Check.equal(property + " of four days", 13, Check.thrown("send",
                    MQBrokerException.class, () -> c.producer.send(
                            timed(c, "never", property, value), c.queue(0))).getResponseCode());
        }
        // Java quirk: a time is cut to whole seconds, so that up to one is missing.
        long early = c.settings.control ? 1000 : 0;
        long late = lateness(c) + early;
        arrives(inbox, "in the past", start, 0, 5000);
        arrives(inbox, "in 2500 ms", start, 2500 - early, late);
        arrives(inbox, "at a time", start, 3700 - early, late);
        arrives(inbox, "in 5 s", start, 5000 - early, late);
        inbox.awaitExactly(4, 0, 500);
    }

    static void recall(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = c.consume(c.group);
        SendResult kept = c.producer.send(timed(c, "kept", SECONDS, 5), c.queue(0));
        SendResult recalled = c.producer.send(timed(c, "recalled", SECONDS, 5), c.queue(0));
        String handle = Shim.recallHandle(recalled);
        Check.that(handle != null && !handle.equals(Shim.recallHandle(kept)), "handle " + handle);
        Check.equal("handle of a plain message", null, Shim.recallHandle(c.send(0, "plain")));
        Check.equal("recalled", recalled.getMsgId(), Shim.recall(c.producer, c.topic, handle));
        Check.equal("handle of another topic", 604,
                refusal(c, c.settings.cluster + "_REPLY_TOPIC", handle));
        String past = handle("broker-a", c.topic, System.currentTimeMillis() - 1000);
        Check.equal("handle of the past", 604, refusal(c, c.topic, past));
        String elsewhere = c.topic + "_b";
        c.createTopic(c.settings.brokerB, elsewhere, 1, 6);
        String off = handle("broker-b", elsewhere, System.currentTimeMillis() + 5000);
        Check.equal("where recall is off", 16, refusal(c, elsewhere, off));
        var garbage = c.wire(c.settings.brokerA).call(Wire.request(370, "topic", c.topic,
                "producerGroup", c.group, "recallHandle", "no handle at all"));
        Check.equal("no handle at all", 604, garbage.getCode());
        inbox.awaitExactly(2, 15_000, 1500);
        Check.equal("delivered", new TreeSet<>(List.of("plain", "kept")),
                new TreeSet<>(inbox.bodies()));
    }

    private static String handle(String broker, String topic, long millis) {
        String text = "v1 " + topic + " " + broker + " " + millis + " 0A0A0A0A";
        return Base64.getUrlEncoder().encodeToString(text.getBytes());
    }

    private static int refusal(Context c, String topic, String handle) {
        return Check.thrown("recall", MQBrokerException.class,
                () -> Shim.recall(c.producer, topic, handle)).getResponseCode();
    }
}
