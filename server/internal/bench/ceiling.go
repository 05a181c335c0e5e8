package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// serveCeiling is the least an endpoint can do: parse the body, check and make the signatures that
// its kind cannot do without, answer as many bytes. No caller is authenticated otherwise,
// nothing is decided or recorded.
func serveCeiling(kind, algorithm, bytes, key string) {
	size, _ := strconv.Atoi(bytes)
	answer := make([]byte, size)
	for i := range answer {
		answer[i] = 'x'
	}
	work, err := ceilingWork(kind, jose.Algorithm(algorithm), key, answer)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if err := work(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	os.Stdout.Sync()
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}

// ceilingWork is what a handler of each kind does for one request.
func ceilingWork(kind string, alg jose.Algorithm, key string, message []byte) (func(*http.Request) error, error) {
	private, err := jose.GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	rawSign, err := rawSigner(alg, private)
	if err != nil {
		return nil, err
	}
	sign := func() error { return rawSign(message[:min(len(message), 300)]) }
	verify := func(string) error { return errors.New("no key to verify with") }
	if key != "" {
		public, err := jose.ParseJWK([]byte(key))
		if err != nil {
			return nil, err
		}
		verify = rawVerifier(public)
	}
	switch kind {
	case "plain":
		return func(r *http.Request) error {
			var body struct {
				Target string `json:"target"`
			}
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Target == "" {
				return errors.New("no target")
			}
			return sign()
		}, nil
	case "secret":
		return func(r *http.Request) error {
			if r.FormValue("audience") == "" {
				return errors.New("no audience")
			}
			return sign()
		}, nil
	case "assertion":
		return func(r *http.Request) error {
			if err := verify(r.FormValue("client_assertion")); err != nil {
				return err
			}
			return sign()
		}, nil
	case "introspection":
		return func(r *http.Request) error { return verify(r.FormValue("token")) }, nil
	}
	return nil, fmt.Errorf("no ceiling of kind %q", kind)
}
