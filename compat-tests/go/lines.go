package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// The Go client sends oneway requests without the oneway bit: they are answered like any other.
func onewayIsAnswered(s *scenario) {
	s.createTopic(s.topic, 2)
	p := s.producer()
	for _, body := range numbered("oneway", 20) {
		ok(p.SendOneWay(context.Background(), s.message(body)))
	}
	s.send(p, "sync")
	eventually(5*time.Second, "messages stored", 21, func() any { return stored(s.topic, 2) })
	answer := call(brokerA, request(10, map[string]string{
		"producerGroup": s.group, "topic": s.topic, "defaultTopic": "TBW102",
		"defaultTopicQueueNums": "4", "queueId": "1", "sysFlag": "0",
		"bornTimestamp": strconv.FormatInt(time.Now().UnixMilli(), 10), "flag": "0",
		"properties": "", "reconsumeTimes": "0", "unitMode": "false", "maxReconsumeTimes": "0",
		"batch": "false",
	}, "like a oneway of this client"))
	equal("answer to such a frame", 0, answer.Code)
	equal("its language bit", 1, answer.Flag&1)
}

// standIn listens in place of a broker, accepts everything and notes the codes it was sent.
type standIn struct {
	listener net.Listener
	lock     sync.Mutex
	codes    map[int]int
}

func (s *scenario) standIn() *standIn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(err)
	s.atEnd(func() { _ = listener.Close() })
	b := &standIn{listener: listener, codes: map[int]int{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.answer(conn)
		}
	}()
	return b
}

func (b *standIn) answer(conn net.Conn) {
	defer conn.Close()
	for {
		c, err := readFrame(conn)
		if err != nil {
			return
		}
		b.lock.Lock()
		b.codes[c.Code]++
		b.lock.Unlock()
		writeFrame(conn, command{Opaque: c.Opaque, Flag: 1, Language: "JAVA", Version: 479})
	}
}

func (b *standIn) got(code int) bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.codes[code] > 0
}

func (b *standIn) register(conn net.Conn, cluster, name string, id int, topic string) {
	config := func(topic string) string {
		return fmt.Sprintf(`"%s":{"topicName":"%s","readQueueNums":2,"writeQueueNums":2,`+
			`"perm":6,"topicFilterType":"SINGLE_TAG","topicSysFlag":0,"order":false}`, topic, topic)
	}
	body := fmt.Sprintf(`{"topicConfigSerializeWrapper":{"topicConfigTable":{%s,%s},`+
		`"dataVersion":{"counter":1,"timestamp":%d,"stateVersion":0}},"filterServerList":[]}`,
		config(topic), config(topic+"_2"), time.Now().UnixMilli())
	answer := callOn(conn, request(103, map[string]string{
		"brokerName": name, "brokerAddr": b.listener.Addr().String(), "clusterName": cluster,
		"haServerAddr": "", "brokerId": strconv.Itoa(id), "compressed": "false", "bodyCrc32": "0",
	}, body))
	equal("registration of "+name, 0, answer.Code)
}

// The Go client cuts addresses out of the route's text by hand. Two brokers register, one of
// them with a slave: a consumer must greet all three.
func routeOfTwoBrokers(s *scenario) {
	one, two := s.group+"_1", s.group+"_2"
	master, slave, other := s.standIn(), s.standIn(), s.standIn()
	for _, b := range []struct {
		*standIn
		name string
		id   int
	}{{master, one, 0}, {slave, one, 1}, {other, two, 0}} {
		conn := dial(nameServer) // the name server forgets the broker when this closes
		s.atEnd(func() { _ = conn.Close() })
		b.register(conn, "C_"+s.group, b.name, b.id, s.topic)
	}
	a, err := admin.NewAdmin(admin.WithResolver(
		primitive.NewPassthroughResolver([]string{nameServer})))
	ok(err)
	queues, err := a.FetchPublishMessageQueues(context.Background(), s.topic)
	ok(err)
	perBroker := map[string]int{}
	for _, queue := range queues {
		perBroker[queue.BrokerName]++
	}
	equal("queues per broker", map[string]int{one: 2, two: 2}, perBroker)
	s.consume()
	for name, b := range map[string]*standIn{"master": master, "slave": slave, "other": other} {
		eventually(35*time.Second, "heartbeat at the "+name, true, func() any { return b.got(34) })
	}
}

func everyKindOfSend(s *scenario) {
	s.createTopic(s.topic, 2)
	received := s.consume()
	p := s.producer()
	ctx := context.Background()
	large := strings.TrimSpace(strings.Repeat("compressed by Go ", 600))
	s.send(p, "sync", large)
	answered := make(chan error, 1)
	ok(p.SendAsync(ctx, func(_ context.Context, result *primitive.SendResult, err error) {
		answered <- err
	}, s.message("async")))
	ok(<-answered)
	ok(p.SendOneWay(ctx, s.message("oneway")))
	var batch []*primitive.Message
	for _, body := range numbered("batch", 10) {
		batch = append(batch, s.message(body).WithTag("tag-"+body))
	}
	result, err := p.SendSync(ctx, batch...)
	ok(err)
	equal("status of the batch", primitive.SendOK, result.Status)
	equal("offset ids of the batch", 10, len(strings.Split(result.OffsetMsgID, ",")))
	expected := once(append(numbered("batch", 10), "sync", large, "async", "oneway")...)
	eventually(20*time.Second, "bodies", expected, func() any { return received.counts() })
	for _, message := range received.all() {
		body := string(message.Body)
		if strings.HasPrefix(body, "batch") {
			equal("tag of "+body, "tag-"+body, message.GetTags())
		}
		if body == large && message.StoreSize >= 4096 {
			panic("the large body is not stored compressed")
		}
	}
}

func retriesAndDeadLetters(s *scenario) {
	s.createTopic(s.topic, 2)
	s.createTopic("%RETRY%"+s.group, 1)
	deliveries := &inbox{}
	s.consumer(func(ctx context.Context, messages ...*received) (result, error) {
		deliveries.add(messages...)
		retry, _ := primitive.GetConcurrentlyCtx(ctx)
		retry.DelayLevelWhenNextConsume = 1
		for _, message := range messages {
			body := string(message.Body)
			if body == "poison" || body == "later" && message.ReconsumeTimes == 0 {
				return consumer.ConsumeRetryLater, nil
			}
		}
		return consumer.ConsumeSuccess, nil
	}, consumer.WithMaxReconsumeTimes(1), consumer.WithConsumeMessageBatchMaxSize(1))
	p := s.producer()
	s.send(p, append(numbered("good", 8), "later", "poison")...)
	expected := once(numbered("good", 8)...)
	expected["later"], expected["poison"] = 2, 2
	eventually(60*time.Second, "deliveries", expected, func() any { return deliveries.counts() })
	for _, message := range deliveries.all() {
		if message.ReconsumeTimes > 0 {
			equal("topic shown of a retried message", s.topic, message.Topic)
			equal("its reconsume times", int32(1), message.ReconsumeTimes)
		}
	}
	eventually(10*time.Second, "dead letters", 1, func() any { return stored("%DLQ%"+s.group, 1) })
	eventually(20*time.Second, "committed", 10, func() any { return s.committed(2) })
}

func killedOrderlyOwner(s *scenario) {
	s.createTopic(s.topic, 4)
	p := s.producer()
	owner := s.peer("orderly")
	s.send(p, numbered("first", 8)...)
	eventually(40*time.Second, "messages of the owner", 8, func() any { return owner.count("GOT") })
	received := s.consume(consumer.WithConsumerOrder(true))
	eventually(10*time.Second, "members", 2, func() any { return len(s.members()) })
	killed := time.Now()
	owner.kill()
	s.send(p, numbered("second", 8)...)
	eventually(85*time.Second, "taken over", true, func() any {
		counts := received.counts()
		for _, body := range numbered("second", 8) {
			if counts[body] == 0 {
				return counts
			}
		}
		return true
	})
	if took := time.Since(killed); took < 25*time.Second {
		panic(fmt.Sprintf("the dead owner's locks were free after %v", took))
	}
}

func killedConsumer(s *scenario) {
	s.createTopic(s.topic, 8)
	p := s.producer()
	received := s.consume()
	eventually(10*time.Second, "members", 1, func() any { return len(s.members()) })
	other := s.peer("concurrent")
	eventually(10*time.Second, "members", 2, func() any { return len(s.members()) })
	s.send(p, numbered("both", 64)...)
	// What is given to both while they share the queues out counts twice.
	eventually(30*time.Second, "messages of both", true, func() any {
		return len(received.all())+other.count("GOT") >= 64
	})
	// 20 s pass before it would look by itself.
	other.kill()
	eventually(2*time.Second, "members", 1, func() any { return len(s.members()) })
	s.send(p, numbered("alone", 16)...)
	eventually(15*time.Second, "messages of the survivor", true, func() any {
		counts := received.counts()
		for _, body := range numbered("alone", 16) {
			if counts[body] == 0 {
				return counts
			}
		}
		return true
	})
}
