package compat;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Consumers that pop: no queue is anyone's, a message is invisible while it is in work. */
final class PopScenarios {
    private static final int POLLING_FULL = 209;

    private PopScenarios() {}

    /** A consumer of the scenario's group that pops from the brokers {@code brokers}. */
    private static DefaultMQPushConsumer popping(Context c, MessageListenerConcurrently listener,
            long invisibleMillis, String... brokers) throws Exception {
        DefaultMQPushConsumer consumer = c.consumer();
        Shim.popping(consumer, invisibleMillis, 2);
        for (String broker : brokers) {
            Shim.requestMode(c.admin, broker, c.topic, c.group, "POP");
        }
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(listener);
        consumer.start();
        Check.eventually(30_000, "brokers popped from", brokers.length,
                () -> Shim.popQueues(consumer));
        Check.equal("queues of its own", Set.of(), c.assigned(consumer));
        return consumer;
    }

    static void everyBrokerToEveryMember(Context c) throws Exception {
        c.createTopic(4);
        c.createTopic(c.settings.brokerB, c.topic, 4, 6);
        List<Inbox> inboxes = List.of(new Inbox(), new Inbox());
        for (Inbox inbox : inboxes) {
            popping(c, inbox.concurrently(), 60_000, c.settings.brokerA, c.settings.brokerB);
        }
        List<String> sent = new ArrayList<>();
        List<Set<String>> sources = List.of(new TreeSet<>(), new TreeSet<>());
        Set<String> both = new TreeSet<>(List.of("broker-a", "broker-b"));
        long deadline = System.nanoTime() + 30_000_000_000L;
        while (!sources.equals(List.of(both, both))) {
            Check.that(System.nanoTime() < deadline, "members were served by " + sources);
            for (String broker : both) {
                String body = "m" + sent.size();
                c.producer.send(c.message(body), new MessageQueue(c.topic, broker,
                        sent.size() / 2 % 4));
                sent.add(body);
            }
            Thread.sleep(20);
            for (int i = 0; i < 2; i++) {
                for (Inbox.Arrival arrival : inboxes.get(i).all()) {
                    sources.get(i).add(arrival.message.getBrokerName());
                }
            }
        }
        Check.eventually(10_000, "consumed", sent.size(),
                () -> inboxes.get(0).size() + inboxes.get(1).size());
        List<String> got = new ArrayList<>(inboxes.get(0).bodies());
        got.addAll(inboxes.get(1).bodies());
        Check.equal("bodies", new TreeSet<>(sent), new TreeSet<>(got));
    }

    /** A listener that is slower than the message is invisible, once. */
    static void unansweredComesAgain(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = new Inbox();
        AtomicInteger calls = new AtomicInteger();
        popping(c, new MessageListenerConcurrently() {
            @Override
            public ConsumeConcurrentlyStatus consumeMessage(
                    List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                inbox.add(messages);
                if (calls.getAndIncrement() == 0) {
                    try {
                        Thread.sleep(7000);
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        }, 5000, c.settings.brokerA);
        c.send(0, "slow");
        List<Inbox.Arrival> got = inbox.awaitExactly(2, 30_000, 2000);
        // Invisible from the pop on, which was a moment before it arrived here.
        Check.between("ms until it comes again", 4900, c.settings.control ? 15_000 : 9_000,
                (got.get(1).nanos - got.get(0).nanos) / 1_000_000);
        sameMessageAgain(c, got);
        Check.equal("first pop time", got.get(0).message.getProperty("1ST_POP_TIME"),
                got.get(1).message.getProperty("1ST_POP_TIME"));
    }

    private static void sameMessageAgain(Context c, List<Inbox.Arrival> got) {
        for (int i = 0; i < 2; i++) {
            MessageExt message = got.get(i).message;
            Check.equal("reconsume times", i, message.getReconsumeTimes());
            Check.equal("topic shown", c.topic, message.getTopic());
            Check.equal("body", got.get(0).body(), got.get(i).body());
            Check.equal("id", got.get(0).message.getMsgId(), message.getMsgId());
        }
    }

    static void laterIsTenSeconds(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = new Inbox();
        popping(c, new MessageListenerConcurrently() {
            @Override
            public ConsumeConcurrentlyStatus consumeMessage(
                    List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                inbox.add(messages);
                return messages.get(0).getReconsumeTimes() == 0
                        ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                        : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        }, 60_000, c.settings.brokerA);
        c.send(0, "later");
        List<Inbox.Arrival> got = inbox.awaitExactly(2, 40_000, 1000);
        Check.between("ms until it comes again", 9_500, c.settings.control ? 20_000 : 13_500,
                (got.get(1).nanos - got.get(0).nanos) / 1_000_000);
        sameMessageAgain(c, got);
    }

    static void staleHandles(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = new Inbox();
        popping(c, inbox.concurrently(), 60_000, c.settings.brokerA);
        c.sendMany("m", 5, 1);
        inbox.await(5, 20_000);
        Check.eventually(10_000, "offset of the group", 5L, () -> c.committedSum(c.group, 1));
        MessageExt message = inbox.all().get(0).message;
        String handle = message.getProperty("POP_CK");
        long offset = message.getQueueOffset();
        Wire wire = c.wire(c.settings.brokerA);
        for (int i = 0; i < 2; i++) {
            int again = wire.call(ack(c, handle, offset)).getCode();
            Check.that(again == 0 || again == 208, "code of a repeated ack: " + again);
        }
        Check.equal("ack beyond the queue", 208, wire.call(ack(c, handle, 1000)).getCode());
        int garbage = wire.call(ack(c, "no handle", offset)).getCode();
        Check.that(garbage != 0, "code of a foreign handle: " + garbage);
        RemotingCommand change = Wire.request(200053, "consumerGroup", c.group, "topic", c.topic,
                "queueId", 0, "extraInfo", handle, "offset", 1000, "invisibleTime", 10_000);
        Check.equal("change beyond the queue", 208, wire.call(change).getCode());
        c.send(0, "after");
        inbox.awaitExactly(6, 10_000, 500);
        Check.eventually(10_000, "offset in the end", 6L, () -> c.committedSum(c.group, 1));
    }

    private static RemotingCommand ack(Context c, String handle, long offset) {
        return Wire.request(200051, "consumerGroup", c.group, "topic", c.topic, "queueId", 0,
                "extraInfo", handle, "offset", offset);
    }

    static void backToQueues(Context c) throws Exception {
        c.createTopic(4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer =
                popping(c, inbox.concurrently(), 60_000, c.settings.brokerA);
        List<String> sent = c.sendMany("popped", 20, 4);
        inbox.await(20, 20_000);
        Shim.requestMode(c.admin, c.settings.brokerA, c.topic, c.group, "PULL");
        for (int i = 0; i < 20; i++) {
            sent.addAll(c.sendMany("between" + i + "_", 4, 4));
            Thread.sleep(50);
        }
        // The client asks for its assignment every 20 s.
        Check.eventually(60_000, "queues of its own", 4, () -> c.assigned(consumer).size());
        Check.equal("brokers still popped from", 0, Shim.popQueues(consumer));
        sent.addAll(c.sendMany("pulled", 20, 4));
        Check.eventually(20_000, "consumed", new TreeSet<>(sent),
                () -> new TreeSet<>(inbox.bodies()));
        Check.eventually(15_000, "committed", (long) sent.size(),
                () -> c.committedSum(c.group, 4));
    }

    /** Each broker here lets eight poll for the same; a ninth gets in by the way it counts. */
    static void pollingIsFull(Context c) throws Exception {
        c.createTopic(1);
        var config = new Shim.GroupConfig();
        config.setGroupName(c.group);
        c.admin.createAndUpdateSubscriptionGroupConfig(c.settings.brokerA, config);
        List<Integer> codes = new CopyOnWriteArrayList<>();
        List<CompletableFuture<Void>> polls = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            Wire wire = c.wire(c.settings.brokerA);
            polls.add(CompletableFuture.runAsync(() -> codes.add(codeOf(wire, pop(c))),
                    Context.THREADS));
        }
        // The control counts and adds in two steps, so that more than nine may get in.
        int fullAtLeast = c.settings.control ? 1 : 3;
        Check.eventually(4000, "polls refused at once", true, () -> codes.size() >= fullAtLeast);
        Check.equal("codes before the message", Set.of(POLLING_FULL), Set.copyOf(codes));
        c.send(0, "wakes one");
        for (CompletableFuture<Void> poll : polls) {
            poll.get(20, TimeUnit.SECONDS);
        }
        Check.equal("polls served", 1L, codes.stream().filter(code -> code == 0).count());
        long full = codes.stream().filter(code -> code == POLLING_FULL).count();
        Check.between("polls refused", fullAtLeast, 3, full);
        Check.equal("polls that ended", 11 - full,
                codes.stream().filter(code -> code == 210).count());
    }

    private static int codeOf(Wire wire, RemotingCommand request) {
        try {
            return wire.call(request, 15_000).getCode();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static RemotingCommand pop(Context c) {
        return Wire.request(200050, "consumerGroup", c.group, "topic", c.topic, "queueId", -1,
                "maxMsgNums", 1, "invisibleTime", 30_000, "pollTime", 6000,
                "bornTime", System.currentTimeMillis(), "initMode", 0, "expType", "TAG",
                "exp", "*", "order", false);
    }
}
