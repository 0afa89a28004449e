package compat;

import java.nio.ByteBuffer;
import java.util.List;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** A pull request (11) of the plain connection. */
final class Pull {
    private static final int SUSPEND = 2;
    private static final int SUBSCRIPTION = 4;

    private final String group;
    private final String topic;
    private final int queueId;
    private long offset;
    private int sysFlag = SUBSCRIPTION;
    private long suspendMillis;
    private String subscription = "*";
    private long subscriptionVersion;

    private Pull(String group, String topic, int queueId) {
        this.group = group;
        this.topic = topic;
        this.queueId = queueId;
    }

    static Pull of(String group, String topic, int queueId) {
        return new Pull(group, topic, queueId);
    }

    Pull from(long offset) {
        this.offset = offset;
        return this;
    }

    Pull tags(String subscription) {
        this.subscription = subscription;
        return this;
    }

    Pull hold(long millis) {
        sysFlag |= SUSPEND;
        suspendMillis = millis;
        return this;
    }

    /** Relies on the subscription that the group registered. */
    Pull registered(long subscriptionVersion) {
        sysFlag &= ~SUBSCRIPTION;
        this.subscriptionVersion = subscriptionVersion;
        return this;
    }

    RemotingCommand request() {
        return Wire.request(11, "consumerGroup", group, "topic", topic, "queueId", queueId,
                "queueOffset", offset, "maxMsgNums", 32, "sysFlag", sysFlag, "commitOffset", 0,
                "suspendTimeoutMillis", suspendMillis, "subscription", subscription,
                "subVersion", subscriptionVersion, "expressionType", "TAG");
    }

    static List<MessageExt> messages(RemotingCommand answer) {
        Check.equal("pull", 0, answer.getCode());
        return MessageDecoder.decodes(ByteBuffer.wrap(answer.getBody()));
    }
}
