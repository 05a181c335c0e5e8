package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// callMapFile is the body of a request with a call map of that many services and rules.
func callMapFile(services, rules int) ([]byte, error) {
	fanOut := rules / services
	var text strings.Builder
	text.WriteString("version: 1\nservices:\n")
	for i := range services {
		fmt.Fprintf(&text, "  s%d: {owner: team-%d}\n", i, i%50)
	}
	text.WriteString("rules:\n")
	for i := range services {
		fmt.Fprintf(&text, "  - {from: s%d, to: [", i)
		for g := range fanOut {
			fmt.Fprintf(&text, "s%d, ", (i*7+g*13+1)%services)
		}
		text.WriteString("], scopes: [read]}\n")
	}
	text.WriteString("tests:\n  - {from: s0, to: s1, expect: allow}\n")
	return json.Marshal(map[string]any{"files": []map[string]string{{"name": "callmap.yaml", "text": text.String()}}})
}

// callMap plans and applies a large call map file through the admin API, and asks for tokens
// meanwhile.
func (b *bench) callMap() ([]line, error) {
	s, err := b.serve("callmap")
	if err != nil {
		return nil, err
	}
	credential, err := s.three("ES256")
	if err != nil {
		return nil, err
	}
	body, err := callMapFile(b.o.services, b.o.rules)
	if err != nil {
		return nil, err
	}
	used, err := processorTime(s.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	planned, err := s.timed("/callmap/plan", body)
	if err != nil {
		return nil, err
	}
	after, err := processorTime(s.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	peak, err := peakResident(s.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	before, err := s.latency(b.ctx, credential, func() error { return wait(b.ctx, 5*b.o.round) })
	if err != nil {
		return nil, err
	}
	planning, err := s.latency(b.ctx, credential, func() (err error) {
		_, err = s.timed("/callmap/plan", body)
		return err
	})
	if err != nil {
		return nil, err
	}
	var applied time.Duration
	during, err := s.latency(b.ctx, credential, func() (err error) {
		applied, err = s.timed("/callmap/apply", body)
		return err
	})
	if err != nil {
		return nil, err
	}
	size := fmt.Sprintf("%d services and %d rules", b.o.services, b.o.rules)
	p99 := atMost("token requests while "+size+" are applied, p99 / before", float64(during)/float64(before), 3, "x")
	p99.measured += fmt.Sprintf("  (%s / %s; %s while it is only planned; applied in %.1f s)", during.Round(10*time.Microsecond), before.Round(10*time.Microsecond), planning.Round(10*time.Microsecond), applied.Seconds())
	plan := atMost("plan of a file with "+size, planned.Seconds(), 10, "s")
	plan.measured += fmt.Sprintf("  (%.0f MiB of JSON; %.1f s of processor time)", float64(len(body))/(1<<20), (after - used).Seconds())
	return []line{plan, atMost("peak resident memory of that plan", peak, 2048, "MiB"), p99}, s.stop()
}

// timed posts body to the admin API and wants success.
func (s *server) timed(path string, body []byte) (time.Duration, error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+s.operator+"/admin/v1"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	start := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, errors.Join(err, fmt.Errorf("%s: %s %.500s", path, resp.Status, text))
	}
	return time.Since(start), nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// latency is the 99th percentile of token requests, some 400 a second over four connections, while
// do is being done. A request is timed from when it was due, so that a pause counts for all
// it delays.
func (s *server) latency(ctx context.Context, credential string, do func() error) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const clients, pause = 4, 10 * time.Millisecond
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	for range clients {
		wg.Go(func() {
			took, err := s.paced(ctx, tokenRequest(credential), pause)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), errors.Join(failed, err)
		})
	}
	err := do()
	cancel()
	wg.Wait()
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	slices.Sort(all)
	return all[len(all)*99/100], nil
}

func (s *server) paced(ctx context.Context, request []byte, pause time.Duration) (took []time.Duration, err error) {
	c, err := net.Dial("tcp", s.public)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	r := newReader(c)
	for due := time.Now(); ; due = due.Add(pause) {
		if wait(ctx, time.Until(due)) != nil {
			return took, nil
		}
		if _, err := c.Write(request); err != nil {
			return nil, err
		}
		if _, err := answer(r); err != nil {
			return nil, err
		}
		took = append(took, time.Since(due))
	}
}
