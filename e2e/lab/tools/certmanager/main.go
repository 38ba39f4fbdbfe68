// Command cert-manager runs the controllers of cert-manager that a CA issuer needs, as a local process, for
// `make bench-ca`. cert-manager's own command is a Go module of its own that the module proxy does not serve; the
// controllers come from the library module, unchanged, with as many workers as its command gives them unless told
// otherwise.
//
// Without a client-side limit by itself: the library sets none where the API server has priority and fairness.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
)

// What turns a Certificate into a Secret with a CA issuer; metrics and the other issuers are left out.
var wanted = []string{
	issuers.ControllerName, approver.ControllerName, ca.CRControllerName, trigger.ControllerName,
	keymanager.ControllerName, requestmanager.ControllerName, issuing.ControllerName, readiness.ControllerName,
	revisionmanager.ControllerName,
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the cluster")
	namespace := flag.String("namespace", "", "the one namespace to serve")
	workers := flag.Int("workers", 5, "workers of each controller; cert-manager's own default is 5")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig: *kubeconfig,
		Namespace:  *namespace,
		// Only used by an API server without priority and fairness.
		KubernetesAPIQPS:   10000,
		KubernetesAPIBurst: 10000,
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	var running []controller.Interface
	for _, name := range wanted {
		made, err := controller.Known()[name](factory)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		running = append(running, made)
	}
	all, err := factory.Build()
	if err != nil {
		log.Fatal(err)
	}
	all.SharedInformerFactory.Start(ctx.Done())
	all.KubeSharedInformerFactory.Start(ctx.Done())
	var group sync.WaitGroup
	for at, each := range running {
		group.Go(func() {
			if err := each.Run(*workers, ctx); err != nil {
				log.Fatalf("%s: %v", wanted[at], err)
			}
		})
	}
	group.Wait()
}
