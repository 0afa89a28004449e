package compat;

import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What moved to another package between 4.x and 5.x, or came with 5.x. */
final class Shim {
    private Shim() {}

    /** A subscription group's configuration. */
    static final class GroupConfig extends SubscriptionGroupConfig {}

    static void broadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void deleteFromNameServer(
            DefaultMQAdminExt admin, String nameServer, String cluster, String topic)
            throws Exception {
        admin.deleteTopicInNameServer(Set.of(nameServer), topic, cluster);
    }

    static void popping(DefaultMQPushConsumer consumer, long invisibleMillis, int batch) {
        throw new Skip("the 4.x client does not pop");
    }

    static int popQueues(DefaultMQPushConsumer consumer) {
        throw new Skip("the 4.x client does not pop");
    }

    static void requestMode(
            DefaultMQAdminExt admin, String broker, String topic, String group, String mode) {
        throw new Skip("the 4.x tools set no request mode");
    }

    static void autoBatch(DefaultMQProducer producer) {
        throw new Skip("the 4.x client makes no batches by itself");
    }

    static String recallHandle(SendResult result) {
        throw new Skip("the 4.x client does not recall");
    }

    static String recall(DefaultMQProducer producer, String topic, String handle) {
        throw new Skip("the 4.x client does not recall");
    }

    static void heartbeatV2(DefaultMQPushConsumer consumer) {
        throw new Skip("the 4.x client knows the first heartbeat only");
    }
}
