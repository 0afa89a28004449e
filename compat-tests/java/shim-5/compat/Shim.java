package compat;

import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.ProduceAccumulator;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
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
        admin.deleteTopicInNameServer(Set.of(nameServer), cluster, topic);
    }

    /** Lets the broker say how to consume: by popping, where that was set. */
    static void popping(DefaultMQPushConsumer consumer, long invisibleMillis, int batch) {
        consumer.setClientRebalance(false);
        consumer.setPopInvisibleTime(invisibleMillis);
        consumer.setPopBatchNums(batch);
    }

    /** Of how many brokers or queues a consumer pops now, that of retries not counted. */
    static int popQueues(DefaultMQPushConsumer consumer) {
        return (int) consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
                .getPopProcessQueueTable().keySet().stream()
                .filter(queue -> !queue.getTopic().startsWith("%RETRY%")).count();
    }

    static void requestMode(
            DefaultMQAdminExt admin, String broker, String topic, String group, String mode)
            throws Exception {
        admin.setMessageRequestMode(
                broker, topic, group, MessageRequestMode.valueOf(mode), 0, 10_000);
    }

    /**
     * Lets a producer that is not started yet make batches by itself. In 5.1.4 all producers of a
     * process share what does it, and any that shuts down stops it; so this one gets its own.
     */
    static void autoBatch(DefaultMQProducer producer) throws Exception {
        producer.setAutoBatch(true);
        Field field = DefaultMQProducer.class.getDeclaredField("produceAccumulator");
        field.setAccessible(true);
        field.set(producer, new ProduceAccumulator(producer.getInstanceName()));
    }

    static String recallHandle(SendResult result) throws Exception {
        return (String) late(result, "getRecallHandle");
    }

    static String recall(DefaultMQProducer producer, String topic, String handle)
            throws Exception {
        return (String) late(producer, "recallMessage", topic, handle);
    }

    /** Calls a method of String parameters that early 5.x clients do not have. */
    private static Object late(Object target, String name, Object... arguments)
            throws Exception {
        Class<?>[] types = new Class<?>[arguments.length];
        Arrays.fill(types, String.class);
        try {
            return target.getClass().getMethod(name, types).invoke(target, arguments);
        } catch (NoSuchMethodException e) {
            throw new Skip("this client has no " + name);
        } catch (InvocationTargetException e) {
            throw (Exception) e.getCause();
        }
    }

    static void heartbeatV2(DefaultMQPushConsumer consumer) {
        consumer.setUseHeartbeatV2(true);
    }
}
