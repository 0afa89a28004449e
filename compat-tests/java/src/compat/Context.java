package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Executor;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What one scenario works with: own names, shared clients, and what is closed at its end. */
final class Context implements AutoCloseable {
    /** Addresses of the suite, and clients configured for it. */
    static final class Settings {
        final String nameServer = System.getenv("COMPAT_NAMESRV");
        final String brokerA = System.getenv("COMPAT_BROKER_A");
        final String brokerB = System.getenv("COMPAT_BROKER_B");
        final String cluster = System.getenv("COMPAT_CLUSTER");
        final String client = System.getenv("COMPAT_CLIENT");
        final boolean control = "control".equals(System.getenv("COMPAT_TARGET"));

        DefaultMQProducer producer(String group) {
            DefaultMQProducer producer = new DefaultMQProducer(group);
            producer.setNamesrvAddr(nameServer);
            producer.setInstanceName(group);
            producer.setSendMsgTimeout(10_000);
            producer.setPollNameServerInterval(5000);
            return producer;
        }

        /** A consumer whose heartbeat is quick, so that a lost race costs 2 s and not 30. */
        DefaultMQPushConsumer consumer(String group) {
            DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
            consumer.setNamesrvAddr(nameServer);
            consumer.setConsumeThreadMin(4);
            consumer.setConsumeThreadMax(4);
            consumer.setHeartbeatBrokerInterval(2000);
            consumer.setPollNameServerInterval(5000);
            return consumer;
        }

        DefaultMQAdminExt admin(String instance) {
            DefaultMQAdminExt admin = new DefaultMQAdminExt(10_000);
            admin.setNamesrvAddr(nameServer);
            admin.setInstanceName(instance);
            return admin;
        }
    }

    /** Runs each task in a thread of its own: tasks here wait for each other. */
    static final Executor THREADS = task -> {
        Thread thread = new Thread(task, "scenario-task");
        thread.setDaemon(true);
        thread.start();
    };

    final Settings settings;
    final DefaultMQAdminExt admin;
    final DefaultMQProducer producer;
    final Runner runner;
    /** A name no other scenario or run uses; the group of the scenario. */
    final String group;
    /** The topic of the scenario; it exists once createTopic was called. */
    final String topic;
    private final Deque<AutoCloseable> closing = new ArrayDeque<>();
    private int queues;

    Context(Settings settings, DefaultMQAdminExt admin, DefaultMQProducer producer, Runner runner,
            String name) {
        this.settings = settings;
        this.admin = admin;
        this.producer = producer;
        this.runner = runner;
        String run = Long.toString(System.nanoTime() & 0xffffff, 36);
        group = name + "_" + settings.client.replace('.', '_') + "_" + run;
        topic = "T_" + group;
    }

    <T extends AutoCloseable> T closing(T resource) {
        closing.push(resource);
        return resource;
    }

    Wire wire(String address) throws Exception {
        return closing(new Wire(address));
    }

    Peer javaPeer(List<String> options, String... args) throws Exception {
        return closing(Peer.java(options, args));
    }

    Peer goPeer(String... args) throws Exception {
        return closing(Peer.go(args));
    }

    /** A started producer of its own. */
    DefaultMQProducer producer(String suffix) throws Exception {
        DefaultMQProducer own = settings.producer(group + suffix);
        own.start();
        closing(own::shutdown);
        return own;
    }

    /** A consumer of the scenario's group that is not started yet. */
    DefaultMQPushConsumer consumer() {
        return consumer(group);
    }

    DefaultMQPushConsumer consumer(String group) {
        DefaultMQPushConsumer consumer = settings.consumer(group);
        closing(consumer::shutdown);
        return consumer;
    }

    /** Starts a consumer of all of the scenario's topic; answers with what it receives. */
    Inbox consume(String group) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        start(consumer);
        return inbox;
    }

    /** The same for a topic that was made another way and has {@code queues} queues. */
    Inbox consume(String group, int queues) throws Exception {
        this.queues = queues;
        return consume(group);
    }

    /**
     * Starts the only member of its group and waits until it has every queue of the scenario's
     * topic: where it starts in a queue is then settled, whatever is sent next.
     */
    void start(DefaultMQPushConsumer consumer) throws Exception {
        consumer.start();
        Check.eventually(20_000, "queues of the consumer", queues,
                () -> queuesOf(consumer).size());
    }

    /** The queues of the scenario's topic that a consumer has now, by number. */
    Set<Integer> queuesOf(DefaultMQPushConsumer consumer) {
        return assigned(consumer).stream().map(MessageQueue::getQueueId)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** The queues of the scenario's topic that a consumer has now, on every broker. */
    Set<MessageQueue> assigned(DefaultMQPushConsumer consumer) {
        return consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable()
                .keySet().stream().filter(queue -> queue.getTopic().equals(topic))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** Creates the scenario's topic on broker-a. */
    void createTopic(int queues) throws Exception {
        this.queues = queues;
        createTopic(settings.brokerA, topic, queues, 6);
    }

    void createTopic(String broker, String name, int queues, int permission) throws Exception {
        admin.createAndUpdateTopicConfig(broker, new TopicConfig(name, queues, queues, permission));
        Check.eventually(5000, "route of " + name, true, () -> admin.examineTopicRouteInfo(name)
                .getBrokerDatas().stream()
                .anyMatch(data -> data.getBrokerAddrs().containsValue(broker)));
    }

    MessageQueue queue(int id) {
        return new MessageQueue(topic, "broker-a", id);
    }

    Message message(String body) {
        return new Message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    /** Sends one message to one queue of the scenario's topic. */
    SendResult send(int queueId, String body) throws Exception {
        SendResult result = producer.send(message(body), queue(queueId));
        Check.equal("send status", SendStatus.SEND_OK, result.getSendStatus());
        return result;
    }

    /** Sends {@code prefix0}, {@code prefix1}, ... round robin over {@code queues} queues. */
    List<String> sendMany(String prefix, int count, int queues) throws Exception {
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            send(i % queues, prefix + i);
            bodies.add(prefix + i);
        }
        return bodies;
    }

    /** The offset that the broker has for a group, or null if none (22). */
    Long committed(String group, String topic, int queueId) throws Exception {
        try (Wire wire = new Wire(settings.brokerA)) {
            var answer = wire.call(Wire.request(14, "consumerGroup", group, "topic", topic,
                    "queueId", queueId, "setZeroIfNotFound", false));
            return answer.getCode() == 0 ? Long.valueOf(Wire.field(answer, "offset")) : null;
        }
    }

    /** The sum of the committed offsets of the scenario's topic. */
    long committedSum(String group, int queues) throws Exception {
        long sum = 0;
        for (int id = 0; id < queues; id++) {
            Long offset = committed(group, topic, id);
            sum += offset == null ? 0 : offset;
        }
        return sum;
    }

    /** The sum of the max offsets of a topic's queues on broker-a. */
    long stored(String topic, int queues) throws Exception {
        long sum = 0;
        try (Wire wire = new Wire(settings.brokerA)) {
            for (int id = 0; id < queues; id++) {
                var answer = wire.call(Wire.request(30, "topic", topic, "queueId", id));
                sum += answer.getCode() == 0 ? Long.parseLong(Wire.field(answer, "offset")) : 0;
            }
        }
        return sum;
    }

    @Override
    public void close() throws Exception {
        while (!closing.isEmpty()) {
            closing.pop().close();
        }
    }
}
