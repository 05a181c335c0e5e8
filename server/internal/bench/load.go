package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// connections is how many keep-alive connections load a server.
const connections = 32

// load sends requests on every connection for a while, one after the other, and returns how many
// answers came per second. It writes and reads bytes and nothing more: what the load
// generator burns is taken from the server, and would flatter the ratio.
func load(ctx context.Context, t target, d time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var answers atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, connections)
	start := time.Now()
	for i := range connections {
		wg.Go(func() { errs[i] = client(ctx, t, &answers) })
	}
	wg.Wait()
	return float64(answers.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}

func client(ctx context.Context, t target, answers *atomic.Int64) error {
	c, err := net.Dial("tcp", t.address)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReaderSize(c, 4096)
	for ctx.Err() == nil {
		request, err := t.next()
		if err != nil {
			return err
		}
		if _, err := c.Write(request); err != nil {
			return err
		}
		if _, err := answer(r); err != nil {
			return err
		}
		answers.Add(1)
	}
	return nil
}

var okStatus = []byte("HTTP/1.1 200 ")

// answer reads one answer with a Content-Length, and returns its body's length.
func answer(r *bufio.Reader) (int, error) {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(status, okStatus) {
		rest, _ := r.Peek(min(r.Buffered(), 512))
		return 0, fmt.Errorf("answer is %q %q", status, rest)
	}
	length := -1
	for {
		h, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(h) <= 2 {
			break
		}
		if v, ok := bytes.CutPrefix(h, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("answer has no Content-Length")
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return length, err
}

// tokenRequest is the request for a token, as bytes.
func tokenRequest(credential string) []byte {
	body := `{"target":"m2"}`
	return fmt.Appendf(nil, "POST /accesstoken HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		credential, len(body), body)
}

// target is one server under load.
type target struct {
	address string
	request []byte // the same each time, unless once has others
	once    *supply
	pid     int
}

func (t target) next() ([]byte, error) {
	if t.once == nil {
		return t.request, nil
	}
	return t.once.next()
}

// supply is requests of which each may be sent once. They are made before a round, so that
// making them takes nothing from the server.
type supply struct {
	make func() ([]byte, error)
	made [][]byte
	used atomic.Int64
}

func (s *supply) refill(n int) error {
	s.made = slices.Delete(s.made, 0, min(int(s.used.Swap(0)), len(s.made)))
	for len(s.made) < n {
		r, err := s.make()
		if err != nil {
			return err
		}
		s.made = append(s.made, r)
	}
	return nil
}

func (s *supply) next() ([]byte, error) {
	if i := s.used.Add(1) - 1; i < int64(len(s.made)) {
		return s.made[i], nil
	}
	return nil, errors.New("more requests were sent in a round than were made for it")
}

// maxRate is more answers a second than any server here gives to requests that are made anew.
const maxRate = 20_000

// measured is what a target did: answers a second, and processor time an answer.
type measured struct{ rate, micros float64 }

// compare loads both in turns, each round a little, and returns the medians.
func (b *bench) compare(one, other target) (measured, measured, error) {
	var rates, micros [2][]float64
	for round := range b.o.rounds + 1 {
		for i, t := range []target{one, other} {
			if t.once != nil {
				if err := t.once.refill(int(maxRate * b.o.round.Seconds())); err != nil {
					return measured{}, measured{}, err
				}
			}
			before, err := processorTime(t.pid)
			if err != nil {
				return measured{}, measured{}, err
			}
			r, err := load(b.ctx, t, b.o.round)
			if err != nil {
				return measured{}, measured{}, err
			}
			after, err := processorTime(t.pid)
			if err != nil {
				return measured{}, measured{}, err
			}
			if round > 0 { // the first round warms up
				rates[i] = append(rates[i], r)
				micros[i] = append(micros[i], float64((after-before).Microseconds())/(r*b.o.round.Seconds()))
			}
		}
	}
	return measured{median(rates[0]), median(micros[0])}, measured{median(rates[1]), median(micros[1])}, nil
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReaderSize(c, 4096) }
