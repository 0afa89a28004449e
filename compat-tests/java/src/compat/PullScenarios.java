package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumers that poll by themselves. */
final class PullScenarios {
    private PullScenarios() {}

    private static DefaultLitePullConsumer assigned(Context c, int queues) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(c.group);
        consumer.setNamesrvAddr(c.settings.nameServer);
        consumer.setPullThreadNums(2);
        consumer.setAutoCommit(false);
        consumer.start();
        c.closing(consumer::shutdown);
        List<MessageQueue> assigned = new ArrayList<>();
        for (int id = 0; id < queues; id++) {
            assigned.add(c.queue(id));
        }
        consumer.assign(assigned);
        return consumer;
    }

    /** Polls until {@code count} messages came. */
    private static List<String> poll(DefaultLitePullConsumer consumer, int count) {
        List<String> bodies = new ArrayList<>();
        long deadline = System.nanoTime() + 20_000_000_000L;
        while (bodies.size() < count && System.nanoTime() < deadline) {
            for (MessageExt message : consumer.poll(500)) {
                bodies.add(new String(message.getBody(), StandardCharsets.UTF_8));
            }
        }
        return bodies;
    }

    static void liteAssign(Context c) throws Exception {
        c.createTopic(2);
        List<String> sent = c.sendMany("lite", 10, 2);
        DefaultLitePullConsumer consumer = assigned(c, 2);
        Check.equal("polled", new TreeSet<>(sent), new TreeSet<>(poll(consumer, 10)));
        Check.eventually(5000, "registered subscriptions", true, () -> c.admin
                .examineConsumerConnectionInfo(c.group).getSubscriptionTable().isEmpty());
        consumer.commitSync();
        // The client persists its offsets for the first time 10 s after its start.
        Check.eventually(20_000, "committed", 10L, () -> c.committedSum(c.group, 2));
    }

    static void liteSeek(Context c) throws Exception {
        c.createTopic(1);
        List<String> old = c.sendMany("old", 4, 1);
        Thread.sleep(50);
        long between = System.currentTimeMillis();
        Thread.sleep(50);
        List<String> recent = c.sendMany("recent", 4, 1);
        List<String> all = new ArrayList<>(old);
        all.addAll(recent);
        DefaultLitePullConsumer consumer = assigned(c, 1);
        Check.equal("from the start", all, poll(consumer, 8));
        Long offset = consumer.offsetForTimestamp(c.queue(0), between);
        Check.equal("offset at the time between", 4L, offset);
        consumer.seek(c.queue(0), offset);
        Check.equal("after seek to a time", recent, poll(consumer, 4));
        consumer.seekToBegin(c.queue(0));
        Check.equal("after seek to the begin", all, poll(consumer, 8));
        consumer.seekToEnd(c.queue(0));
        c.send(0, "last");
        Check.equal("after seek to the end", List.of("last"), poll(consumer, 1));
        Check.thrown("seek beyond the end", MQClientException.class, () -> {
            consumer.seek(c.queue(0), 100);
            return "no exception";
        });
    }

    /** One record lies in its own queue and in two light ones, whose only queue is 0. */
    static void lightQueues(Context c) throws Exception {
        c.createTopic(1);
        List<String> light = List.of("%LMQ%" + c.group + "_1", "%LMQ%" + c.group + "_2");
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(c.group);
        consumer.setNamesrvAddr(c.settings.nameServer);
        consumer.start();
        c.closing(consumer::shutdown);
        // It learns the address of the broker from the topic, not from a light queue.
        consumer.maxOffset(c.queue(0));
        for (int i = 0; i < 4; i++) {
            Message message = new Message(c.topic, "tag", ("light" + i).getBytes());
            MessageAccessor.putProperty(message, "INNER_MULTI_DISPATCH",
                    i < 3 ? String.join(",", light) : light.get(1));
            c.producer.send(message, c.queue(0));
        }
        c.send(0, "plain");
        Check.eventually(5000, "own queue", 5L, () -> c.stored(c.topic, 1));
        for (int i = 0; i < 2; i++) {
            MessageQueue queue = new MessageQueue(light.get(i), "broker-a", 0);
            int count = 3 + i;
            Check.eventually(5000, "light queue", (long) count, () -> c.stored(queue.getTopic(), 1));
            PullResult result = consumer.pull(queue, "*", 0, 32);
            Check.equal("status", PullStatus.FOUND, result.getPullStatus());
            Check.equal("next", (long) count, result.getNextBeginOffset());
            List<String> bodies = new ArrayList<>();
            for (MessageExt message : result.getMsgFoundList()) {
                bodies.add(new String(message.getBody(), StandardCharsets.UTF_8));
                Check.equal("tag", "tag", message.getTags());
                Check.that(message.getProperty("INNER_MULTI_QUEUE_OFFSET") != null,
                        "no offsets in " + message);
            }
            Check.equal("bodies", List.of("light0", "light1", "light2", "light3")
                    .subList(0, count), bodies);
            consumer.updateConsumeOffset(queue, 2);
            consumer.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
            Check.eventually(5000, "committed", 2L,
                    () -> c.committed(c.group, queue.getTopic(), 0));
        }
    }

    static void blockingPull(Context c) throws Exception {
        c.createTopic(1);
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(c.group);
        consumer.setNamesrvAddr(c.settings.nameServer);
        consumer.start();
        c.closing(consumer::shutdown);
        c.send(0, "first");
        PullResult found = consumer.pullBlockIfNotFound(c.queue(0), "*", 0, 32);
        Check.equal("status", PullStatus.FOUND, found.getPullStatus());
        Check.equal("next", 1L, found.getNextBeginOffset());
        CompletableFuture<PullResult> pending = CompletableFuture.supplyAsync(() -> {
            try {
                return consumer.pullBlockIfNotFound(c.queue(0), "*", 1, 32);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }, Context.THREADS);
        Thread.sleep(500);
        Check.that(!pending.isDone(), "a pull of an empty queue does not wait");
        c.send(0, "second");
        long stored = System.nanoTime();
        PullResult woken = pending.get(20, TimeUnit.SECONDS);
        long lag = (System.nanoTime() - stored) / 1_000_000;
        Check.that(lag < 1000, "woken " + lag + " ms after the message was stored");
        Check.equal("status", PullStatus.FOUND, woken.getPullStatus());
        Check.equal("body", "second", new String(woken.getMsgFoundList().get(0).getBody()));
    }
}
