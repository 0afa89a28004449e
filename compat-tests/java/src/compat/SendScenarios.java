package compat;

import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.remoting.common.RemotingHelper;

/** What a producer gets back, and what is stored. */
final class SendScenarios {
    private SendScenarios() {}

    static void syncResult(Context c) throws Exception {
        c.createTopic(4);
        Map<Integer, Long> next = new HashMap<>();
        long lastPhysical = -1;
        for (int i = 0; i < 20; i++) {
            SendResult result = c.producer.send(c.message("body" + i));
            Check.equal("status", SendStatus.SEND_OK, result.getSendStatus());
            Check.that(result.getMsgId().matches("[0-9A-F]{32}"), "id " + result.getMsgId());
            Check.that(result.getOffsetMsgId().matches("[0-9A-F]{32}"),
                    "offset id " + result.getOffsetMsgId());
            Check.equal("transaction id", result.getMsgId(), result.getTransactionId());
            int queue = result.getMessageQueue().getQueueId();
            Check.equal("offset in queue " + queue, next.getOrDefault(queue, 0L),
                    result.getQueueOffset());
            next.put(queue, result.getQueueOffset() + 1);
            var id = MessageDecoder.decodeMessageId(result.getOffsetMsgId());
            Check.equal("address", c.settings.brokerA,
                    RemotingHelper.parseSocketAddressAddr(id.getAddress()));
            Check.that(id.getOffset() > lastPhysical, "log offsets do not grow");
            lastPhysical = id.getOffset();
            String body = "body" + i;
            Check.eventually(5000, "body at the offset id", body,
                    () -> new String(c.admin.viewMessage(c.topic, result.getOffsetMsgId())
                            .getBody()));
        }
        Check.equal("queues used", 4, next.size());
    }
}
