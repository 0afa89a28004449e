package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.exception.RemotingConnectException;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Many messages: batches in both kinds of topic, many in flight, more than the broker takes. */
final class BatchScenarios {
    private BatchScenarios() {}

    /** A batch stays one record in a topic of inner batches; consumers see its messages. */
    static void innerBatch(Context c) throws Exception {
        Wire wire = c.wire(c.settings.brokerA);
        RemotingCommand created = wire.call(Wire.request(17, "topic", c.topic,
                "defaultTopic", "TBW102", "readQueueNums", 1, "writeQueueNums", 1, "perm", 6,
                "topicFilterType", "SINGLE_TAG", "topicSysFlag", 0, "order", false,
                "attributes", "+queue.type=BatchCQ"));
        Check.equal("creation", 0, created.getCode());
        Check.eventually(5000, "route", true, () -> !c.admin.examineTopicRouteInfo(c.topic)
                .getQueueDatas().isEmpty());
        List<String> bodies = new ArrayList<>();
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            bodies.add("inner" + i);
            messages.add(new Message(c.topic, "tag" + i % 2, "key" + i, ("inner" + i).getBytes()));
        }
        Answers answers = new Answers(320, 310);
        DefaultMQProducer producer = answers.producer(c);
        SendResult first = producer.send(messages, c.queue(0));
        Check.equal("status", SendStatus.SEND_OK, first.getSendStatus());
        Check.equal("offset of the first batch", 0L, first.getQueueOffset());
        // The 4.x client gives the batch itself no id, and its messages are stored one by one.
        boolean apart = c.settings.client.startsWith("4");
        String unique = Wire.field(answers.last(), "batchUniqId");
        Check.that(apart ? unique == null : unique != null && unique.matches("[0-9A-F]{32}"),
                "batchUniqId " + unique);
        SendResult second = producer.send(messages, c.queue(0));
        Check.equal("offset of the second batch", 10L, second.getQueueOffset());
        Check.eventually(5000, "max offset", 20L, () -> c.stored(c.topic, 1));
        RemotingCommand pulled = wire.call(Pull.of(c.group, c.topic, 0).from(10).request());
        Check.equal("next", "20", Wire.field(pulled, "nextBeginOffset"));
        Check.equal("records of the second batch", apart ? 10 : 1, Pull.messages(pulled).size());
        Inbox inbox = c.consume(c.group, 1);
        inbox.awaitExactly(20, 20_000, 300);
        Check.equal("bodies", new TreeSet<>(bodies), new TreeSet<>(inbox.bodies()));
        Set<Long> offsets = new TreeSet<>();
        for (Inbox.Arrival arrival : inbox.all()) {
            MessageExt message = arrival.message;
            offsets.add(message.getQueueOffset());
            int number = Integer.parseInt(arrival.body().substring(5));
            Check.equal("offset of " + arrival.body(), (long) number,
                    message.getQueueOffset() % 10);
            Check.equal("tag", "tag" + number % 2, message.getTags());
            Check.equal("key", "key" + number, message.getKeys());
        }
        Check.equal("offsets", 20, offsets.size());
    }

    static void automaticBatches(Context c) throws Exception {
        c.createTopic(4);
        DefaultMQProducer producer = c.settings.producer(c.group);
        Shim.autoBatch(producer);
        producer.start();
        c.closing(producer::shutdown);
        int threads = 25;
        Set<String> places = ConcurrentHashMap.newKeySet();
        Set<String> ids = ConcurrentHashMap.newKeySet();
        List<CompletableFuture<Void>> senders = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            String prefix = "t" + thread + "_";
            senders.add(CompletableFuture.runAsync(() -> {
                for (int i = 0; i < 1000 / threads; i++) {
                    SendResult result = sent(producer, c.message(prefix + i));
                    ids.add(result.getMsgId());
                    places.add(result.getMessageQueue() + " " + result.getQueueOffset());
                }
            }, Context.THREADS));
        }
        for (CompletableFuture<Void> sender : senders) {
            sender.get(60, TimeUnit.SECONDS);
        }
        Check.equal("distinct places", 1000, places.size());
        Check.equal("distinct ids", 1000, ids.size());
        Check.eventually(5000, "stored", 1000L, () -> c.stored(c.topic, 4));
    }

    private static SendResult sent(DefaultMQProducer producer, Message message) {
        try {
            return producer.send(message);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    /** A thousand at once all call back, and a broker that dies meanwhile is gone around. */
    static void manyInFlight(Context c) throws Exception {
        String name = "broker-" + c.group;
        String address = c.runner.startBroker(name);
        c.closing(() -> c.runner.killBroker(name));
        c.createTopic(4);
        c.createTopic(address, c.topic, 4, 6);
        DefaultMQProducer producer = c.producer("_producer");
        Set<String> brokers = new TreeSet<>();
        for (int i = 0; i < 16; i++) {
            brokers.add(producer.send(c.message("before")).getMessageQueue().getBrokerName());
        }
        Check.equal("brokers used", new TreeSet<>(List.of("broker-a", name)), brokers);
        CountDownLatch called = new CountDownLatch(1000);
        Map<String, Throwable> failures = new ConcurrentHashMap<>();
        Set<String> after = ConcurrentHashMap.newKeySet();
        AtomicBoolean killed = new AtomicBoolean();
        for (int i = 0; i < 1000; i++) {
            if (i == 400) {
                c.runner.killBroker(name);
                killed.set(true);
            }
            String body = "flight" + i;
            producer.send(c.message(body), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    if (killed.get()) {
                        after.add(result.getMessageQueue().getBrokerName());
                    }
                    called.countDown();
                }

                @Override
                public void onException(Throwable failure) {
                    failures.put(body, failure);
                    called.countDown();
                }
            });
        }
        Check.that(called.await(30, TimeUnit.SECONDS), called.getCount() + " never called back");
        // What was under way, every client sends again.
        boolean older = isOlder(c);
        failures.values().removeIf(one -> older && one instanceof RemotingConnectException);
        Check.equal("failures", Map.of(), failures);
        Check.that(after.contains("broker-a"), "after the kill only " + after + " were used");
        c.runner.startBroker(name);
        Check.eventually(40_000, "broker used again", name,
                () -> producer.send(c.message("again")).getMessageQueue().getBrokerName());
    }

    /** Older clients retry neither what they could not connect for nor what was too much. */
    private static boolean isOlder(Context c) {
        return c.settings.client.matches("(4|5\\.1)\\..*");
    }

    /** A broker that waits for its disk with one place in its queue: it is soon too busy. */
    static void busy(Context c) throws Exception {
        String name = "broker-" + c.group;
        String address = c.runner.startBroker(
                name, "sendThreadPoolQueueCapacity=1",
                "sendMessageThreadPoolNums=1", "flushDiskType=SYNC_FLUSH");
        c.closing(() -> c.runner.killBroker(name));
        c.createTopic(address, c.topic, 4, 6);
        DefaultMQProducer calm = c.producer("_calm");
        Check.equal("send before the crowd", SendStatus.SEND_OK,
                calm.send(c.message("calm")).getSendStatus());
        CompletableFuture<Exception> refused = new CompletableFuture<>();
        byte[] body = "x".repeat(4000).getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < 8; i++) {
            DefaultMQProducer producer = c.producer("_" + i);
            CompletableFuture.runAsync(() -> {
                while (!refused.isDone()) {
                    try {
                        producer.sendOneway(new Message(c.topic, body));
                        producer.sendOneway(new Message(c.topic, body));
                        producer.send(new Message(c.topic, body));
                    } catch (Exception e) {
                        refused.complete(e);
                    }
                }
            }, Context.THREADS);
        }
        Exception busy = refused.get(40, TimeUnit.SECONDS);
        if (busy instanceof MQClientException) {
            Check.that(busy.getMessage().contains("Send [3] times"), "tries: " + busy);
            Check.equal("response code", 2, ((MQClientException) busy).getResponseCode());
            busy = (Exception) busy.getCause();
        } else {
            Check.that(isOlder(c), "no retry before " + busy);
        }
        Check.that(busy instanceof MQBrokerException, "refused by " + busy);
        Check.equal("code of the broker", 2, ((MQBrokerException) busy).getResponseCode());
        String reason = busy.getMessage();
        Check.that(reason.contains("system busy, start flow control"), "reason " + reason);
        Check.eventually(5000, "send after the crowd", SendStatus.SEND_OK,
                () -> calm.send(c.message("calm")).getSendStatus());
    }
}
