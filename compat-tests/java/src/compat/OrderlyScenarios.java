package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/** Orderly consumption and the queue locks behind it. */
final class OrderlyScenarios {
    private OrderlyScenarios() {}

    private static DefaultMQPushConsumer start(Context c, Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = c.consumer();
        // A queue that changes hands before its first commit must not skip what is in it.
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.orderly());
        consumer.start();
        return consumer;
    }

    /** Asks for the locks of queues 0..3 as another client; answers with how many it got. */
    private static int locked(Context c, String client) throws Exception {
        try (Wire wire = new Wire(c.settings.brokerA)) {
            var answer = wire.call(Wire.withBody(Wire.request(41), lockBody(c, client)));
            Check.equal("lock request", 0, answer.getCode());
            String body = new String(answer.getBody(), StandardCharsets.UTF_8);
            return body.split("\"queueId\"", -1).length - 1;
        }
    }

    private static String lockBody(Context c, String client) {
        String queues = List.of(0, 1, 2, 3).stream()
                .map(id -> "{\"topic\":\"" + c.topic + "\",\"brokerName\":\"broker-a\",\"queueId\":"
                        + id + "}").collect(Collectors.joining(","));
        return "{\"consumerGroup\":\"" + c.group + "\",\"clientId\":\"" + client
                + "\",\"mqSet\":[" + queues + "]}";
    }

    static void oneOwnerPerQueue(Context c) throws Exception {
        c.createTopic(4);
        Inbox left = new Inbox();
        Inbox right = new Inbox();
        DefaultMQPushConsumer first = start(c, left);
        DefaultMQPushConsumer second = start(c, right);
        Check.eventually(40_000, "queues of each", List.of(2, 2), () -> List.of(
                c.queuesOf(first).size(), c.queuesOf(second).size()));
        c.sendMany("ordered", 80, 4);
        Check.eventually(40_000, "consumed", 80, () -> left.size() + right.size());
        Set<Integer> ofLeft = inOrder(left);
        Set<Integer> ofRight = inOrder(right);
        Check.that(ofLeft.stream().noneMatch(ofRight::contains),
                "queues of both: " + ofLeft + " and " + ofRight);
        Check.equal("queues consumed", 4, ofLeft.size() + ofRight.size());
        Check.equal("locks for a third client", 0, locked(c, "stranger"));
        first.shutdown();
        List<String> later = c.sendMany("later", 4, 4);
        // The successor is told at once; it would look by itself after 20 s.
        Check.eventually(20_000, "taken over", true, () -> right.bodies().containsAll(later));
    }

    /** Fails if a queue's messages came out of order; answers with the queues. */
    private static Set<Integer> inOrder(Inbox inbox) {
        Map<Integer, Long> last = new HashMap<>();
        for (Inbox.Arrival arrival : inbox.all()) {
            long offset = arrival.message.getQueueOffset();
            Long before = last.put(arrival.message.getQueueId(), offset);
            Check.that(before == null || before < offset, "offset " + offset + " after " + before);
        }
        return new TreeSet<>(last.keySet());
    }

    static void killedOwnerIsReplaced(Context c) throws Exception {
        c.createTopic(4);
        Peer peer = c.javaPeer(List.of(), "orderly", c.topic, c.group);
        peer.awaitReady();
        c.sendMany("first", 8, 4);
        peer.await(8, "GOT", 30_000);
        Check.equal("locks for a third client", 0, locked(c, "stranger"));
        long killed = System.nanoTime();
        peer.kill();
        Inbox inbox = new Inbox();
        start(c, inbox);
        List<String> later = c.sendMany("second", 8, 4);
        Check.eventually(85_000, "taken over", true, () -> inbox.bodies().containsAll(later));
        long millis = (System.nanoTime() - killed) / 1_000_000;
        Check.between("ms until the dead client's locks are free", 38_000, 85_000, millis);
    }

    static void suspendKeepsOrder(Context c) throws Exception {
        c.createTopic(1);
        c.sendMany("m", 5, 1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.setMaxReconsumeTimes(2);
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(new MessageListenerOrderly() {
            @Override
            public ConsumeOrderlyStatus consumeMessage(
                    List<MessageExt> messages, ConsumeOrderlyContext context) {
                inbox.add(messages);
                context.setSuspendCurrentQueueTimeMillis(50);
                String body = new String(messages.get(0).getBody(), StandardCharsets.UTF_8);
                boolean once = body.equals("m1") && messages.get(0).getReconsumeTimes() == 0;
                return once || body.equals("m3")
                        ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT
                        : ConsumeOrderlyStatus.SUCCESS;
            }
        });
        consumer.start();
        inbox.awaitExactly(8, 30_000, 300);
        Check.equal("attempts in order", List.of("m0", "m1", "m1", "m2", "m3", "m3", "m3", "m4"),
                inbox.bodies());
        List<MessageExt> dead = RetryScenarios.deadLetters(c, 1);
        Check.equal("dead letter", "m3", new String(dead.get(0).getBody()));
        Check.equal("retries", 0L, c.stored("%RETRY%" + c.group, 1));
    }

    static void shutdownUnlocks(Context c) throws Exception {
        c.createTopic(4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = start(c, inbox);
        c.sendMany("m", 4, 4);
        inbox.await(4, 30_000);
        Check.equal("locks while it runs", 0, locked(c, "successor"));
        // A second after its start the client asks for its locks again, which must not cross the
        // unlock: the control serves the two in any order.
        Thread.sleep(2500);
        consumer.shutdown();
        Check.eventually(1000, "locks after its shutdown", 4, () -> locked(c, "successor"));
        Check.equal("locks for a third client", 0, locked(c, "stranger"));
        try (Wire wire = new Wire(c.settings.brokerA)) {
            var unlock = Wire.withBody(Wire.request(42), lockBody(c, "successor"));
            Check.equal("unlock", 0, wire.call(unlock).getCode());
        }
        Check.equal("locks after the unlock", 4, locked(c, "stranger"));
    }

    static void javaAndGoShare(Context c) throws Exception {
        c.createTopic(8);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        consumer.start();
        Check.eventually(20_000, "queues of the only member", 8,
                () -> c.queuesOf(consumer).size());
        Peer go = c.goPeer("concurrent", c.topic, c.group);
        go.awaitReady();
        Check.eventually(10_000, "queues beside the Go member", 4,
                () -> c.queuesOf(consumer).size());
        List<String> sent = c.sendMany("shared", 80, 8);
        go.await(40, "GOT", 30_000);
        inbox.awaitExactly(40, 30_000, 500);
        List<String> got = new ArrayList<>(inbox.bodies());
        Set<Integer> goQueues = new TreeSet<>();
        for (String line : go.all("GOT")) {
            goQueues.add(Integer.parseInt(line.split(" ")[0]));
            got.add(line.split(" ")[1]);
        }
        Check.equal("messages of both", 80, got.size());
        Check.equal("bodies of both", new TreeSet<>(sent), new TreeSet<>(got));
        Set<Integer> all = c.queuesOf(consumer);
        Check.that(all.addAll(goQueues), "both have " + goQueues);
        Check.equal("queues of both", PushScenarios.range(0, 8), all);
        go.kill();
        Check.eventually(5000, "queues after the death of the Go member", 8,
                () -> c.queuesOf(consumer).size());
    }
}
