package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var (
	nameServer = os.Getenv("COMPAT_NAMESRV")
	brokerA    = os.Getenv("COMPAT_BROKER_A")
	control    = os.Getenv("COMPAT_TARGET") == "control"
)

// scenario holds what one checklist line works with; its names are used by no other.
type scenario struct {
	topic, group string
	closing      []func()
}

func newScenario(name string) *scenario {
	group := fmt.Sprintf("%s_go_%s", name, strconv.FormatInt(time.Now().UnixNano()&0xffffff, 36))
	return &scenario{topic: "T_" + group, group: group}
}

func (s *scenario) atEnd(f func()) { s.closing = append(s.closing, f) }

func (s *scenario) close() {
	for _, f := range s.closing {
		f()
	}
}

func ok(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(fmt.Sprintf("%v (%s:%d)", err, file[strings.LastIndex(file, "/")+1:], line))
	}
}

func equal(what string, expected, got any) {
	if !reflect.DeepEqual(expected, got) {
		panic(fmt.Sprintf("%s: expected %v, got %v", what, expected, got))
	}
}

// eventually waits until probe answers expected.
func eventually(patience time.Duration, what string, expected any, probe func() any) {
	deadline := time.Now().Add(patience)
	got := probe()
	for !reflect.DeepEqual(expected, got) && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		got = probe()
	}
	if !reflect.DeepEqual(expected, got) {
		panic(fmt.Sprintf("%s: expected %v within %v, got %v", what, expected, patience, got))
	}
}

func (s *scenario) createTopic(name string, queues int) {
	count := strconv.Itoa(queues)
	answer := call(brokerA, request(17, map[string]string{
		"topic": name, "defaultTopic": "TBW102", "readQueueNums": count,
		"writeQueueNums": count, "perm": "6", "topicFilterType": "SINGLE_TAG",
		"topicSysFlag": "0", "order": "false",
	}, ""))
	equal("creation of "+name, 0, answer.Code)
	eventually(5*time.Second, "route of "+name, 0, func() any {
		return call(nameServer, request(105, map[string]string{"topic": name}, "")).Code
	})
}

// stored is the sum of the max offsets of a topic's queues.
func stored(topic string, queues int) int {
	sum := 0
	for id := range queues {
		answer := call(brokerA, request(30, map[string]string{
			"topic": topic, "queueId": strconv.Itoa(id),
		}, ""))
		offset, _ := strconv.Atoi(answer.ExtFields["offset"])
		sum += offset
	}
	return sum
}

// committed is the sum of the offsets that the broker has for the scenario's group and topic.
func (s *scenario) committed(queues int) int {
	sum := 0
	for id := range queues {
		answer := call(brokerA, request(14, map[string]string{
			"consumerGroup": s.group, "topic": s.topic, "queueId": strconv.Itoa(id),
			"setZeroIfNotFound": "false",
		}, ""))
		offset, _ := strconv.Atoi(answer.ExtFields["offset"])
		sum += offset
	}
	return sum
}

// members are the client ids of the scenario's group.
func (s *scenario) members() []string {
	answer := call(brokerA, request(38, map[string]string{"consumerGroup": s.group}, ""))
	var list struct {
		ConsumerIDList []string `json:"consumerIdList"`
	}
	_ = json.Unmarshal(answer.body, &list) // an answer without a body lists nobody
	return list.ConsumerIDList
}

func newProducer(group string) rocketmq.Producer {
	p, err := rocketmq.NewProducer(
		producer.WithGroupName(group), producer.WithInstanceName(group),
		producer.WithNameServer(primitive.NamesrvAddr{nameServer}))
	ok(err)
	ok(p.Start())
	return p
}

func (s *scenario) producer() rocketmq.Producer {
	p := newProducer(s.group + "_producer")
	s.atEnd(func() { _ = p.Shutdown() })
	return p
}

func (s *scenario) send(p rocketmq.Producer, bodies ...string) {
	for _, body := range bodies {
		result, err := p.SendSync(context.Background(), s.message(body))
		ok(err)
		equal("status of "+body, primitive.SendOK, result.Status)
	}
}

func (s *scenario) message(body string) *primitive.Message {
	return primitive.NewMessage(s.topic, []byte(body))
}

// inbox collects what a consumer is given.
type inbox struct {
	lock     sync.Mutex
	messages []*primitive.MessageExt
}

func (i *inbox) add(messages ...*primitive.MessageExt) {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.messages = append(i.messages, messages...)
}

func (i *inbox) all() []*primitive.MessageExt {
	i.lock.Lock()
	defer i.lock.Unlock()
	return append([]*primitive.MessageExt(nil), i.messages...)
}

// counts says how often each body came.
func (i *inbox) counts() map[string]int {
	counts := map[string]int{}
	for _, message := range i.all() {
		counts[string(message.Body)]++
	}
	return counts
}

func once(bodies ...string) map[string]int {
	counts := map[string]int{}
	for _, body := range bodies {
		counts[body] = 1
	}
	return counts
}

func numbered(prefix string, count int) []string {
	bodies := make([]string, count)
	for i := range bodies {
		bodies[i] = prefix + strconv.Itoa(i)
	}
	return bodies
}

type (
	received = primitive.MessageExt
	result   = consumer.ConsumeResult
	listener = func(context.Context, ...*received) (result, error)
)

func newConsumer(
	group, topic string, f listener, options ...consumer.Option,
) rocketmq.PushConsumer {
	options = append(options, consumer.WithGroupName(group),
		consumer.WithInstance(fmt.Sprintf("%s_%d", group, os.Getpid())),
		consumer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	c, err := rocketmq.NewPushConsumer(options...)
	ok(err)
	ok(c.Subscribe(topic, consumer.MessageSelector{}, f))
	ok(c.Start())
	return c
}

func (s *scenario) consumer(f listener, options ...consumer.Option) {
	c := newConsumer(s.group, s.topic, f, options...)
	s.atEnd(func() { _ = c.Shutdown() })
}

// consume starts a consumer that accepts everything.
func (s *scenario) consume(options ...consumer.Option) *inbox {
	i := &inbox{}
	s.consumer(func(_ context.Context, messages ...*received) (result, error) {
		i.add(messages...)
		return consumer.ConsumeSuccess, nil
	}, options...)
	return i
}
