package compat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Looks on as a client asks: the requests of some codes and what was answered. */
final class Answers implements RPCHook {
    private final Set<Integer> codes;
    private final List<RemotingCommand> requests = new ArrayList<>();
    private final List<RemotingCommand> answers = new ArrayList<>();

    Answers(Integer... codes) {
        this.codes = Set.copyOf(Arrays.asList(codes));
    }

    @Override
    public void doBeforeRequest(String address, RemotingCommand request) {}

    @Override
    public synchronized void doAfterResponse(
            String address, RemotingCommand request, RemotingCommand response) {
        if (codes.contains(request.getCode()) && response != null) {
            requests.add(request);
            answers.add(response);
        }
    }

    /** The latest answer. */
    synchronized RemotingCommand last() {
        return answers.get(answers.size() - 1);
    }

    /** What the answers say in the field {@code name}, in order. */
    synchronized List<String> fields(String name) {
        return answers.stream().map(answer -> Wire.field(answer, name))
                .collect(Collectors.toList());
    }

    /** The bodies of the requests, in order. */
    synchronized List<String> bodies() {
        return requests.stream().map(request -> new String(request.getBody()))
                .collect(Collectors.toList());
    }

    /** A started producer that is looked at. */
    DefaultMQProducer producer(Context c) throws Exception {
        String group = c.group + "_watched";
        DefaultMQProducer producer = new DefaultMQProducer(group, this);
        producer.setNamesrvAddr(c.settings.nameServer);
        producer.setInstanceName(group);
        producer.setSendMsgTimeout(10_000);
        producer.start();
        c.closing(producer::shutdown);
        return producer;
    }
}
