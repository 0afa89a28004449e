package compat;

import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What moved to another package between 4.x and 5.x. */
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
}
