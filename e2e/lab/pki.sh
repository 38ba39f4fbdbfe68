# shellcheck shell=bash
# The cluster's own keys and certificates, and a kubeconfig for each client. They live and die with the lab's directory,
# so ten years is simply "longer than the lab".

PKI_DAYS=3650

# Safe to repeat: what exists is kept, and a file appears only when it is complete.
make_pki() {
  local pki=$LAB/pki
  mkdir -p "$pki"
  chmod 700 "$pki"
  (
    cd "$pki" || exit
    if [ ! -f ca.crt ]; then
      new_key ca.key
      openssl req -x509 -new -key ca.key -subj /CN=sallyport-lab-ca -days "$PKI_DAYS" -out ca.part && mv ca.part ca.crt
    fi
    if [ ! -f sa.pub ]; then
      openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out sa.key 2>/dev/null
      openssl pkey -in sa.key -pubout -out sa.part && mv sa.part sa.pub
    fi
    issue apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
DNS:kubernetes.default.svc.cluster.local,IP:$NODE_IP,IP:10.96.0.1"
    issue apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
    issue node "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP"
    issue admin /O=system:masters/CN=admin
    issue lab /O=system:masters/CN=sallyport-lab
    issue controller-manager /CN=system:kube-controller-manager
    issue scheduler /CN=system:kube-scheduler
    issue kube-proxy /CN=system:kube-proxy
    kubeconfig node "$pki/kubelet.kubeconfig"
    kubeconfig admin "$LAB_KUBECONFIG"
    for client in lab controller-manager scheduler kube-proxy; do
      kubeconfig "$client" "$pki/$client.kubeconfig"
    done
  )
}

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

issue() { # NAME SUBJECT [ALTERNATIVE_NAMES]
  [ ! -f "$1.crt" ] || return 0
  new_key "$1.key"
  openssl req -new -key "$1.key" -subj "$2" |
    openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days "$PKI_DAYS" -out "$1.part" -extfile <(
      printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
        extendedKeyUsage=serverAuth,clientAuth "subjectAltName=${3:-DNS:localhost}"
    ) 2>/dev/null
  mv "$1.part" "$1.crt"
}

kubeconfig() { # NAME FILE
  [ ! -f "$2" ] || return 0
  (
    umask 077
    cat >"$2.part" <<END
apiVersion: v1
kind: Config
current-context: sallyport-lab
clusters: [{name: sallyport-lab, cluster: {server: "$SERVER", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: sallyport-lab, context: {cluster: sallyport-lab, user: $1}}]
END
  )
  mv "$2.part" "$2"
}
