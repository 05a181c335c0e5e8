package operator_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
)

// Two services, and a rule between them.
func Example() {
	ctx := context.Background()
	c, err := operator.New(adminURL, token) // http://127.0.0.1:8010, and what is in the file operator.token
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"orders", "stock"} {
		if _, err := c.CreateService(ctx, api.NewService{Name: name}); err != nil {
			fmt.Println(err)
			return
		}
	}
	if _, _, err := c.PutRule(ctx, "orders", "stock", operator.NoVersion, api.RuleTerms{Scopes: []string{"read"}}); err != nil {
		fmt.Println(err)
		return
	}
	issued, err := c.CreateCredential(ctx, "orders", api.NewCredential{Kind: api.KindSecret})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("a secret of", issued.Credential.Service, "was made:", issued.Secret != "")

	why, err := c.Explain(ctx, api.Question{Caller: "orders", Target: "stock", Scopes: []string{"write"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(why.Allowed, why.Reason)
	fmt.Println(why.Command)
	// Output:
	// a secret of orders was made: true
	// false scope_not_granted
	// watchword allow orders stock --scope read --scope write
}

// A rule is changed, and keeps what is not: also what somebody else changes at the same time.
func ExampleClient_ChangeRule() {
	ctx := context.Background()
	c, err := operator.New(adminURL, token)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"web", "search"} {
		if _, err := c.CreateService(ctx, api.NewService{Name: name}); err != nil {
			fmt.Println(err)
			return
		}
	}
	limited := api.RuleTerms{Scopes: []string{"read"}, When: &api.Conditions{Networks: []string{"10.0.0.0/8"}}}
	if _, _, err := c.PutRule(ctx, "web", "search", operator.NoVersion, limited); err != nil {
		fmt.Println(err)
		return
	}
	before, after, err := c.ChangeRule(ctx, "web", "search", func(r *api.RuleTerms) {
		r.Scopes = append(r.Scopes, "index")
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(before.Scopes, before.When.Networks)
	fmt.Println(after.Scopes, after.When.Networks)
	// Output:
	// [read] [10.0.0.0/8]
	// [index read] [10.0.0.0/8]
}

// Only what is named in a patch changes, and only while the service has the version that was seen.
func ExampleClient_UpdateService() {
	ctx := context.Background()
	c, err := operator.New(adminURL, token)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := c.CreateService(ctx, api.NewService{Name: "billing", ServicePatch: api.ServicePatch{Observe: new(true)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Name, s.Version, s.Observe)
	if s, err = c.UpdateService(ctx, "billing", s.Version, api.ServicePatch{Observe: new(false)}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Name, s.Version, s.Observe)
	_, err = c.UpdateService(ctx, "billing", 1, api.ServicePatch{Description: new("sends invoices")})
	fmt.Println(operator.StatusOf(err) == http.StatusPreconditionFailed)
	// Output:
	// billing 1 true
	// billing 2 false
	// true
}

// A list is asked for page by page, as far as it is read.
func ExampleClient_Services() {
	ctx := context.Background()
	c, err := operator.New(adminURL, token)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.CreateService(ctx, api.NewService{Name: "0-first"}); err != nil {
		fmt.Println(err)
		return
	}
	for s, err := range c.Services(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.Name)
		break
	}
	// Output: 0-first
}

// What is not there is an *Error like any other refusal.
func ExampleStatusOf() {
	c, err := operator.New(adminURL, token)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Service(context.Background(), "nobody")
	fmt.Println(operator.StatusOf(err) == http.StatusNotFound)
	// Output: true
}
