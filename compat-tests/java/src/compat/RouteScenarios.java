package compat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Routes, automatic topics, brokers that join. */
final class RouteScenarios {
    private RouteScenarios() {}

    static void topicIsCreatedBySend(Context c) throws Exception {
        Wire nameServer = c.wire(c.settings.nameServer);
        RemotingCommand unknown = nameServer.call(Wire.request(105, "topic", c.topic));
        Check.equal("route of an unknown topic", 17, unknown.getCode());
        Check.equal("send", SendStatus.SEND_OK,
                c.producer.send(c.message("first")).getSendStatus());
        Check.eventually(1000, "route after the send", 0,
                () -> nameServer.call(Wire.request(105, "topic", c.topic)).getCode());
        var route = c.admin.examineTopicRouteInfo(c.topic);
        Check.equal("brokers", 1, route.getQueueDatas().size());
        var queues = route.getQueueDatas().get(0);
        Check.equal("broker", "broker-a", queues.getBrokerName());
        Check.equal("write queues", 4, queues.getWriteQueueNums());
        Check.equal("read queues", 4, queues.getReadQueueNums());
        Check.equal("permission", 6, queues.getPerm());
    }

    static void topicIsNotCreated(Context c) throws Exception {
        // The route of another topic leads the producer to broker-b, which creates none.
        String model = c.topic + "_model";
        c.createTopic(c.settings.brokerB, model, 4, 6);
        var producer = c.settings.producer(c.group);
        producer.setCreateTopicKey(model);
        producer.start();
        c.closing(producer::shutdown);
        MQClientException refused = Check.thrown("send", MQClientException.class,
                () -> producer.send(c.message("never stored")));
        Check.equal("response code", 17, refused.getResponseCode());
        RemotingCommand answer = c.wire(c.settings.brokerB).call(Wire.send(c.topic, 0, "never"));
        Check.equal("send by TBW102", 17, answer.getCode());
        Check.equal("route afterwards", 17, c.wire(c.settings.nameServer)
                .call(Wire.request(105, "topic", c.topic)).getCode());
    }

    static void clusterAndBrokerTopics(Context c) throws Exception {
        Set<String> brokers = brokers(c, c.settings.cluster);
        Check.that(brokers.containsAll(List.of("broker-a", "broker-b")),
                "brokers of the cluster are " + brokers);
        Check.equal("brokers of broker-a", Set.of("broker-a"), brokers(c, "broker-a"));
        Check.equal("brokers of broker-b", Set.of("broker-b"), brokers(c, "broker-b"));
        var data = c.admin.examineTopicRouteInfo("broker-a").getBrokerDatas().get(0);
        Check.equal("address of id 0", c.settings.brokerA, data.getBrokerAddrs().get(0L));
        Check.equal("cluster", c.settings.cluster, data.getCluster());
    }

    private static Set<String> brokers(Context c, String topic) throws Exception {
        return c.admin.examineTopicRouteInfo(topic).getBrokerDatas().stream()
                .map(data -> data.getBrokerName()).collect(Collectors.toCollection(TreeSet::new));
    }

    static void newBrokerIsUsed(Context c) throws Exception {
        c.createTopic(2);
        Check.equal("first broker", "broker-a", sendOnce(c));
        String name = "broker-" + c.group;
        String address = c.runner.startBroker(name);
        c.closing(() -> c.runner.killBroker(name));
        c.createTopic(address, c.topic, 2, 6);
        Check.eventually(30_000, "the existing producer uses the new broker", name,
                () -> sendOnce(c));
    }

    private static String sendOnce(Context c) throws Exception {
        return c.producer.send(c.message("any")).getMessageQueue().getBrokerName();
    }

    static void orderTopic(Context c) throws Exception {
        c.createTopic(4);
        c.createTopic(c.settings.brokerB, c.topic, 4, 6);
        String space = "ORDER_TOPIC_CONFIG";
        List<MessageQueue> all = queues(c.producer("_before").fetchPublishMessageQueues(c.topic));
        Check.equal("queues without configuration", 8, all.size());
        c.admin.createAndUpdateKvConfig(space, c.topic, "broker-a:2");
        List<MessageQueue> ordered = List.of(c.queue(0), c.queue(1));
        Check.equal("queues of the order topic", ordered,
                queues(c.producer("_ordered").fetchPublishMessageQueues(c.topic)));
        c.admin.deleteKvConfig(space, c.topic);
        Check.equal("queues in the end", all,
                queues(c.producer("_after").fetchPublishMessageQueues(c.topic)));
    }

    private static List<MessageQueue> queues(List<MessageQueue> fetched) {
        List<MessageQueue> sorted = new ArrayList<>(fetched);
        Collections.sort(sorted);
        return sorted;
    }

    /** One command, no configuration: a topic appears with the first send and is consumed. */
    static void oneCommand(Context c) throws Exception {
        String name = "mqserver-" + c.group;
        String nameServer = c.runner.startServer(name);
        var producer = new DefaultMQProducer(c.group + "_producer");
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName(c.group + "_producer");
        producer.start();
        c.closing(producer::shutdown);
        Check.equal("send", SendStatus.SEND_OK, producer.send(c.message("hello")).getSendStatus());
        Inbox inbox = new Inbox();
        var consumer = c.consumer();
        consumer.setNamesrvAddr(nameServer);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        consumer.start();
        inbox.awaitExactly(1, 20_000, 100);
        Check.equal("received", List.of("hello"), inbox.bodies());
        long start = System.nanoTime();
        c.runner.stopBroker(name).get();
        long millis = (System.nanoTime() - start) / 1_000_000;
        Check.that(millis < 2000, "stopped after " + millis + " ms");
    }

    static void topicIsVisibleAndDeleted(Context c) throws Exception {
        Wire nameServer = c.wire(c.settings.nameServer);
        c.admin.createAndUpdateTopicConfig(c.settings.brokerA,
                new TopicConfig(c.topic, 3, 3, 6));
        Check.eventually(1000, "route of the new topic", 0,
                () -> nameServer.call(Wire.request(105, "topic", c.topic)).getCode());
        c.send(2, "there");
        c.admin.deleteTopicInBroker(Set.of(c.settings.brokerA), c.topic);
        Shim.deleteFromNameServer(
                c.admin, c.settings.nameServer, c.settings.cluster, c.topic);
        Check.eventually(1000, "route of the deleted topic", 17,
                () -> nameServer.call(Wire.request(105, "topic", c.topic)).getCode());
        Wire broker = c.wire(c.settings.brokerA);
        Check.equal("pull from it", 17, broker.call(
                Pull.of(c.group, c.topic, 2).request()).getCode());
        // A topic of the same name starts anew.
        c.createTopic(3);
        Check.equal("offset in the new topic", 0L, c.send(2, "again").getQueueOffset());
    }
}
