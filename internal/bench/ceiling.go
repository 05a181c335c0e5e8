package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// serveCeiling is the least a token endpoint can do: parse the body, make a signature of the
// algorithm, answer as many bytes. No caller is authenticated, nothing is decided or recorded.
func serveCeiling(algorithm, bytes string) {
	alg, err := jose.ParseAlgorithm(algorithm)
	if err != nil {
		log.Fatal(err)
	}
	size, _ := strconv.Atoi(bytes)
	key, err := jose.GenerateKey(alg)
	if err != nil {
		log.Fatal(err)
	}
	sign, err := rawSigner(alg, key)
	if err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, size)
	for i := range answer {
		answer[i] = 'x'
	}
	http.HandleFunc("/accesstoken", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Target string `json:"target"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Target == "" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		if err := sign(answer[:min(size, 300)]); err != nil {
			http.Error(w, "cannot sign", http.StatusInternalServerError)
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
