package compat;

import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Push consumers: where they start, how they share queues, what reaches them. */
final class PushScenarios {
    private PushScenarios() {}

    static void newGroupStartsAtZero(Context c) throws Exception {
        c.createTopic(1);
        Check.equal("offset of an unknown group, empty queue", 22, startOffset(c).getCode());
        List<String> sent = c.sendMany("early", 5, 1);
        RemotingCommand young = startOffset(c);
        Check.equal("offset of an unknown group, young queue", 0, young.getCode());
        Check.equal("which", "0", Wire.field(young, "offset"));
        Check.equal("unless it must not be made up", null, c.committed(c.group, c.topic, 0));
        Inbox inbox = startAt(c, "young", ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, 0);
        inbox.awaitExactly(5, 20_000, 100);
        Check.equal("bodies", new TreeSet<>(sent), new TreeSet<>(inbox.bodies()));
    }

    private static RemotingCommand startOffset(Context c) throws Exception {
        try (Wire wire = new Wire(c.settings.brokerA)) {
            return wire.call(Wire.request(14, "consumerGroup", c.group, "topic", c.topic,
                    "queueId", 0));
        }
    }

    static void startPositions(Context c) throws Exception {
        c.createTopic(c.settings.brokerB, c.topic, 1, 6);
        MessageQueue queue = new MessageQueue(c.topic, "broker-b", 0);
        long min = age(c);
        Thread.sleep(1100);
        // A consumer's time stamp has whole seconds.
        long between = System.currentTimeMillis() / 1000 * 1000;
        long firstRecent = c.admin.maxOffset(queue);
        List<String> recent = List.of("new0", "new1", "new2");
        for (String body : recent) {
            c.producer.send(c.message(body), queue);
        }
        Check.eventually(3000, "offset at the time between", firstRecent,
                () -> c.admin.searchOffset(queue, between));
        Check.equal("offset in the future", firstRecent + 3,
                c.admin.searchOffset(queue, System.currentTimeMillis() + 60_000));
        Inbox fromLast = startAt(c, "last", ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, 0);
        Inbox fromTime = startAt(c, "time", ConsumeFromWhere.CONSUME_FROM_TIMESTAMP, between);
        Inbox fromFirst = startAt(c, "first", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, 0);
        c.producer.send(c.message("late"), queue);
        fromLast.awaitExactly(1, 20_000, 200);
        Check.equal("from the last", List.of("late"), fromLast.bodies());
        fromTime.awaitExactly(4, 20_000, 200);
        Check.equal("from the time between", new TreeSet<>(List.of("new0", "new1", "new2", "late")),
                new TreeSet<>(fromTime.bodies()));
        // It asks for offset 0 and is told where the queue begins.
        int left = (int) (firstRecent - min) + 4;
        fromFirst.awaitExactly(left, 45_000, 200);
        Check.equal("first offset", min, fromFirst.all().stream()
                .mapToLong(arrival -> arrival.message.getQueueOffset()).min().getAsLong());
    }

    /** Fills log files until broker-b has deleted the first; answers with the min offset then. */
    private static long age(Context c) throws Exception {
        Wire wire = c.wire(c.settings.brokerB);
        for (int i = 0; i < 4; i++) {
            Check.equal("filler", 0, wire.call(Wire.send(c.topic, 0, "x".repeat(400_000)))
                    .getCode());
        }
        RemotingCommand ask = Wire.request(31, "topic", c.topic, "queueId", 0);
        // The control cleans for the first time a minute after its start.
        Check.eventually(80_000, "first messages deleted", true,
                () -> Long.parseLong(Wire.field(wire.call(ask), "offset")) > 0);
        RemotingCommand start = wire.call(Wire.request(14, "consumerGroup", c.group,
                "topic", c.topic, "queueId", 0));
        Check.equal("offset of an unknown group, old queue", 22, start.getCode());
        return Long.parseLong(Wire.field(wire.call(ask), "offset"));
    }

    private static Inbox startAt(Context c, String name, ConsumeFromWhere where, long millis)
            throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer(c.group + "_" + name);
        consumer.setConsumeFromWhere(where);
        consumer.setConsumeTimestamp(
                new SimpleDateFormat("yyyyMMddHHmmss").format(new Date(millis)));
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        consumer.start();
        Check.eventually(20_000, "queues of the consumer", 1, () -> c.queuesOf(consumer).size());
        return inbox;
    }

    static void queuesAreShared(Context c) throws Exception {
        c.createTopic(8);
        DefaultMQPushConsumer first = started(c);
        Check.eventually(20_000, "queues of the only member", range(0, 8), () -> c.queuesOf(first));
        DefaultMQPushConsumer second = started(c);
        boolean firstLeads = clientId(first).compareTo(clientId(second)) < 0;
        Set<Integer> low = range(0, 4);
        Set<Integer> high = range(4, 8);
        // A member that is not told asks again after 20 s only.
        Check.eventually(4000, "queues of the first", firstLeads ? low : high,
                () -> c.queuesOf(first));
        Check.eventually(4000, "queues of the second", firstLeads ? high : low,
                () -> c.queuesOf(second));
        second.shutdown();
        Check.eventually(4000, "queues after a clean shutdown", range(0, 8),
                () -> c.queuesOf(first));
        Peer peer = c.javaPeer(List.of(), "concurrent", c.topic, c.group);
        peer.awaitReady();
        Check.eventually(5000, "queues beside the other process", 4,
                () -> c.queuesOf(first).size());
        peer.kill();
        Check.eventually(5000, "queues after its death", range(0, 8), () -> c.queuesOf(first));
    }

    private static DefaultMQPushConsumer started(Context c) throws Exception {
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(new Inbox().concurrently());
        consumer.start();
        return consumer;
    }

    private static String clientId(DefaultMQPushConsumer consumer) {
        return consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
    }

    static Set<Integer> range(int from, int to) {
        Set<Integer> range = new TreeSet<>();
        for (int i = from; i < to; i++) {
            range.add(i);
        }
        return range;
    }

    static void longPoll(Context c) throws Exception {
        c.createTopic(2);
        Wire puller = c.wire(c.settings.brokerA);
        Wire waiter = c.wire(c.settings.brokerA);
        long start = System.nanoTime();
        waiter.send(Pull.of(c.group, c.topic, 1).hold(15_000).request());
        List<Long> lags = new ArrayList<>();
        for (int i = 0; i < 11; i++) {
            puller.send(Pull.of(c.group, c.topic, 0).from(i).hold(15_000).request());
            Thread.sleep(20);
            c.send(0, "wake" + i);
            long stored = System.nanoTime();
            RemotingCommand answer = puller.receive(20_000);
            lags.add((System.nanoTime() - stored) / 1_000_000);
            Check.equal("messages", 1, Pull.messages(answer).size());
            Check.equal("next", String.valueOf(i + 1), Wire.field(answer, "nextBeginOffset"));
        }
        Collections.sort(lags);
        Check.that(lags.get(5) < 50, "milliseconds from stored to delivered: " + lags);
        RemotingCommand empty = waiter.receive(25_000);
        long held = (System.nanoTime() - start) / 1_000_000;
        Check.equal("code of the empty poll", 19, empty.getCode());
        Check.equal("its next offset", "0", Wire.field(empty, "nextBeginOffset"));
        // The control looks at held requests every 5 s only.
        Check.between("held ms", 14_900, c.settings.control ? 21_500 : 17_000, held);
    }

    static void tagFilter(Context c) throws Exception {
        c.createTopic(1);
        Check.equal("hashes", "Aa".hashCode(), "BB".hashCode());
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.subscribe(c.topic, "Aa || B");
        consumer.registerMessageListener(inbox.concurrently());
        c.start(consumer);
        for (String tag : List.of("Aa", "BB", "B", "C")) {
            c.producer.send(new Message(c.topic, tag, tag.getBytes()), c.queue(0));
        }
        c.producer.send(c.message("untagged"), c.queue(0));
        inbox.awaitExactly(2, 20_000, 300);
        Check.equal("consumed", new TreeSet<>(List.of("Aa", "B")), new TreeSet<>(inbox.bodies()));
        // The broker filters by hash: of the colliding tags it sends both, of others none.
        RemotingCommand answer = c.wire(c.settings.brokerA)
                .call(Pull.of(c.group, c.topic, 0).tags("Aa").request());
        Check.equal("sent by the broker", List.of("Aa", "BB"), Pull.messages(answer).stream()
                .map(message -> message.getTags()).collect(Collectors.toList()));
        Check.equal("next", "5", Wire.field(answer, "nextBeginOffset"));
        RemotingCommand none = c.wire(c.settings.brokerA)
                .call(Pull.of(c.group, c.topic, 0).tags("absent").request());
        Check.equal("code when nothing matches", 20, none.getCode());
        Check.equal("its next offset", "5", Wire.field(none, "nextBeginOffset"));
    }

    static void killedConsumerResumes(Context c) throws Exception {
        c.createTopic(2);
        Peer peer = c.javaPeer(List.of(), "concurrent", c.topic, c.group);
        peer.awaitReady();
        c.sendMany("first", 100, 2);
        peer.await(100, "GOT", 30_000);
        Check.eventually(20_000, "offsets committed by the timer", 100L,
                () -> c.committedSum(c.group, 2));
        peer.kill();
        List<String> sent = c.sendMany("second", 50, 2);
        Inbox inbox = c.consume(c.group);
        inbox.awaitExactly(50, 20_000, 300);
        Check.equal("resumed with", new TreeSet<>(sent), new TreeSet<>(inbox.bodies()));
    }

    static void offsetOutOfRange(Context c) throws Exception {
        c.createTopic(1);
        c.sendMany("before", 5, 1);
        Wire wire = c.wire(c.settings.brokerA);
        RemotingCommand large = wire.call(Pull.of(c.group, c.topic, 0).from(9999).request());
        Check.equal("code of a large offset", 21, large.getCode());
        Check.equal("its next offset", "5", Wire.field(large, "nextBeginOffset"));
        RemotingCommand small = wire.call(Pull.of(c.group, c.topic, 0).from(-5).request());
        Check.equal("code of a small offset", 21, small.getCode());
        Check.equal("its next offset", "0", Wire.field(small, "nextBeginOffset"));
        var config = new Shim.GroupConfig();
        config.setGroupName(c.group);
        c.admin.createAndUpdateSubscriptionGroupConfig(c.settings.brokerA, config);
        c.admin.updateConsumeOffset(c.settings.brokerA, c.group, c.queue(0), 9999);
        Inbox inbox = c.consume(c.group);
        Check.eventually(20_000, "corrected offset", 5L, () -> c.committed(c.group, c.topic, 0));
        c.send(0, "after");
        // Older clients freeze the queue for 10 s and take it again at the next rebalance.
        inbox.awaitExactly(1, 45_000, 100);
        Check.equal("continued with", List.of("after"), inbox.bodies());
    }

    static void subscriptionChanges(Context c) throws Exception {
        c.createTopic(1);
        String other = c.topic + "_other";
        c.createTopic(c.settings.brokerA, other, 1, 6);
        Wire wire = c.wire(c.settings.brokerA);
        Check.equal("pull of an unknown group", 24, wire.call(
                Pull.of(c.group, c.topic, 0).registered(0).request()).getCode());
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        consumer.start();
        c.send(0, "first");
        // A client that beats while it rebalances tells its subscription at its next heartbeat.
        inbox.await(1, 45_000);
        Check.equal("pull of an unsubscribed topic", 24, wire.call(
                Pull.of(c.group, other, 0).registered(0).request()).getCode());
        long future = System.currentTimeMillis() + 60_000;
        Check.equal("pull with a newer subscription", 25, wire.call(
                Pull.of(c.group, c.topic, 0).registered(future).request()).getCode());

        c.producer.send(new Message(other, "second".getBytes()));
        consumer.subscribe(other, "*");
        inbox.await(2, 30_000);
        Check.equal("consumed", List.of("first", "second"), inbox.bodies());
        consumer.unsubscribe(c.topic);
        Check.eventually(10_000, "pull of the topic left", 24, () -> wire.call(
                Pull.of(c.group, c.topic, 0).registered(0).request()).getCode());
        Check.equal("pull of the topic joined", 0, wire.call(
                Pull.of(c.group, other, 0).registered(0).request()).getCode());
    }

    static void broadcasting(Context c) throws Exception {
        c.createTopic(2);
        Inbox left = new Inbox();
        Inbox right = new Inbox();
        DefaultMQPushConsumer leftConsumer = broadcasting(c, "left", left);
        broadcasting(c, "right", right);
        Set<String> sent = new TreeSet<>(c.sendMany("all", 20, 2));
        for (Inbox inbox : Arrays.asList(left, right)) {
            inbox.awaitExactly(20, 20_000, 100);
            Check.equal("seen by one member", sent, new TreeSet<>(inbox.bodies()));
        }
        leftConsumer.shutdown();
        Check.equal("offset on the broker", null, c.committed(c.group, c.topic, 0));
        List<String> later = c.sendMany("later", 6, 2);
        Inbox again = new Inbox();
        broadcasting(c, "left", again);
        again.awaitExactly(6, 20_000, 300);
        Check.equal("after a restart", new TreeSet<>(later), new TreeSet<>(again.bodies()));
    }

    private static DefaultMQPushConsumer broadcasting(Context c, String name, Inbox inbox)
            throws Exception {
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.setInstanceName(c.group + name);
        Shim.broadcasting(consumer);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        c.start(consumer);
        return consumer;
    }

    /** One by one to an idle consumer: median from the call of send to the listener. */
    static void latency(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = c.consume(c.group);
        List<Long> micros = new ArrayList<>();
        for (int i = 0; i < 150; i++) {
            long start = System.nanoTime();
            c.send(0, "sample" + i);
            var arrivals = inbox.await(i + 1, 20_000);
            if (i >= 50) {
                micros.add((arrivals.get(i).nanos - start) / 1000);
            }
            Thread.sleep(10);
        }
        Collections.sort(micros);
        c.runner.figure(String.format("latency to an idle push consumer, 100 samples: "
                + "median %.2f ms, worst %.2f ms", micros.get(50) / 1e3, micros.get(99) / 1e3));
        Check.that(c.settings.control || micros.get(50) < 5000,
                "median is " + micros.get(50) + " us");
    }
}
